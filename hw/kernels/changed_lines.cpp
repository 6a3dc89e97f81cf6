// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/changed_lines.h"

#include <charconv>

namespace lockstep::hw::kernels {
namespace {

/// "12,3" at the mark of a hunk header: first line and count; a count of one may
/// be left out.
struct Range {
  unsigned first = 0;
  unsigned count = 1;
};

Range range_after(std::string_view header, char mark) {
  Range range;
  const auto at = header.find(mark);
  if (at == std::string_view::npos) return range;
  const char* const end = header.data() + header.size();
  auto rest = std::from_chars(header.data() + at + 1, end, range.first);
  if (rest.ptr != end && *rest.ptr == ',') std::from_chars(rest.ptr + 1, end, range.count);
  return range;
}

/// "b/arch/x86/kvm/x86.c<TAB>time": without prefix and time.
std::string file_name(std::string_view line) {
  line = line.substr(4);
  line = line.substr(0, line.find('\t'));
  const auto slash = line.find('/');
  return std::string(slash == std::string_view::npos ? line : line.substr(slash + 1));
}

}  // namespace

std::vector<ChangedLines> changed_lines(std::string_view patch) {
  std::vector<ChangedLines> files;
  Range before{0, 0};
  Range after{0, 0};
  std::string from;
  while (!patch.empty()) {
    const auto newline = patch.find('\n');
    const auto line = patch.substr(0, newline);
    patch = newline == std::string_view::npos ? "" : patch.substr(newline + 1);
    if (before.count == 0 && after.count == 0) {
      if (line.starts_with("--- ")) from = file_name(line);
      if (line.starts_with("+++ ")) {
        files.push_back({line.starts_with("+++ /dev/null") ? from : file_name(line), {}, {}});
      }
      if (line.starts_with("@@ -") && !files.empty()) {
        before = range_after(line, '-');
        after = range_after(line, '+');
      }
      continue;
    }
    const char mark = line.empty() ? ' ' : line.front();
    if (mark == '\\') continue;
    if (mark != '+' && before.count != 0) {
      if (mark == '-') files.back().removed.push_back(before.first);
      ++before.first;
      --before.count;
    }
    if (mark != '-' && after.count != 0) {
      if (mark == '+') files.back().added.push_back(after.first);
      ++after.first;
      --after.count;
    }
  }
  return files;
}

}  // namespace lockstep::hw::kernels
