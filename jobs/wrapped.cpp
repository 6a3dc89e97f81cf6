// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/wrapped.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep::jobs {

std::string wrapped(std::string_view text, std::size_t indent, std::size_t width) {
  std::string made;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    std::string current(indent, ' ');
    bool empty = true;
    auto rest = line;
    // What a line itself is indented by stays.
    const auto own = std::min(rest.find_first_not_of(' '), rest.size());
    current += rest.substr(0, own);
    rest.remove_prefix(own);
    while (!rest.empty()) {
      const auto space = rest.find(' ');
      const auto word = rest.substr(0, space);
      rest = space == std::string_view::npos ? "" : rest.substr(space + 1);
      if (!empty && current.size() + 1 + word.size() > width) {
        made += current + "\n";
        current = std::string(indent + own + 2, ' ');
        empty = true;
      }
      if (!empty) current += ' ';
      current += word;
      empty = false;
    }
    made += (empty ? std::string() : current) + "\n";
  }
  return made;
}

std::string plural(std::size_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

}  // namespace lockstep::jobs
