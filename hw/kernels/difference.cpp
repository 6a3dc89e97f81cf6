// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/difference.h"

#include <fmt/format.h>

#include "hw/kernels/process.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;

Result<std::string> difference(const fs::path& before, const fs::path& after,
                               const std::string& name) {
  std::error_code error;
  const auto side = [&](const fs::path& file, const char* prefix, std::string& label) {
    const bool exists = fs::exists(file, error);
    label = exists ? prefix + name : "/dev/null";
    return exists ? file.string() : "/dev/null";
  };
  std::string from, to;
  const auto old_file = side(before, "a/", from);
  const auto new_file = side(after, "b/", to);
  Process diff;
  diff.words = {"diff", "-u", "-p", "--label", from, "--label", to, "--", old_file, new_file};
  const auto outcome = run(diff);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->status > 1) return machine_error("diff: " + outcome->last_words());
  return outcome->out;
}

}  // namespace lockstep::hw::kernels
