// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/probes.h"

#include <fmt/format.h>

#include "hw/kernels/cache.h"

namespace lockstep::hw::hosted {

kernels::Result<std::vector<std::string>> probe_tree(std::string_view list,
                                                     const std::filesystem::path& tree) {
  std::vector<std::string> definitions;
  unsigned number = 0;
  while (!list.empty()) {
    const auto end = list.find('\n');
    const std::string_view line = list.substr(0, end);
    list = end == std::string_view::npos ? "" : list.substr(end + 1);
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const auto first = line.find(' ');
    const auto second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    if (second == std::string_view::npos) {
      return kernels::input_error(
          fmt::format("probe list, line {}: want a macro, a file and a text", number));
    }
    const auto text =
        kernels::read_file(tree / std::string(line.substr(first + 1, second - first - 1)));
    // A file that a tree lacks says no to every question about it.
    if (!text || text->find(line.substr(second + 1)) == std::string::npos) continue;
    definitions.push_back(fmt::format("-D{}", line.substr(0, first)));
  }
  return definitions;
}

}  // namespace lockstep::hw::hosted
