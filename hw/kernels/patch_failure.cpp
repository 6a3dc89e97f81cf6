// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/patch_failure.h"

#include <fmt/format.h>

#include <vector>

namespace lockstep::hw::kernels {
namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    lines.push_back(text.substr(0, newline));
    text = newline == std::string_view::npos ? "" : text.substr(newline + 1);
  }
  return lines;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string_view line_at(const std::vector<std::string_view>& lines, std::size_t index) {
  return index < lines.size() ? lines[index] : "(end of file)";
}

/// Lines of the context that stand at their place if the hunk starts at `start`.
std::size_t matches(const Hunk& hunk, const std::vector<std::string_view>& lines,
                    std::size_t start) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < hunk.context.size() && start + i < lines.size(); ++i) {
    if (lines[start + i] == hunk.context[i] && !trimmed(lines[start + i]).empty()) ++count;
  }
  return count;
}

std::size_t distance(std::size_t a, std::size_t b) { return a < b ? b - a : a - b; }

}  // namespace

std::string explain_failed_hunk(const Hunk& hunk, std::string_view name, std::string_view file) {
  const auto lines = lines_of(file);
  const std::size_t wanted = hunk.old_line > 0 ? hunk.old_line - 1 : 0;
  std::size_t best = wanted;
  std::size_t most = matches(hunk, lines, wanted);
  for (std::size_t start = 0; start < lines.size(); ++start) {
    const auto count = matches(hunk, lines, start);
    if (count > most || (count == most && distance(start, wanted) < distance(best, wanted))) {
      best = start;
      most = count;
    }
  }
  if (most == 0) {
    return fmt::format("  {}:{}: none of the hunk's {} lines stands in the file", name,
                       hunk.old_line, hunk.context.size());
  }
  std::string text = fmt::format("  {}:{}: nearest context, {} of {} lines match", name, best + 1,
                                 most, hunk.context.size());
  for (std::size_t i = 0; i < hunk.context.size(); ++i) {
    const auto there = line_at(lines, best + i);
    if (there == hunk.context[i]) continue;
    const bool blanks = trimmed(there) == trimmed(hunk.context[i]);
    text += fmt::format("\n  {}:{}: the patch wants '{}'\n  {}:{}: the tree has    '{}'{}", name,
                        best + i + 1, trimmed(hunk.context[i]), name, best + i + 1, trimmed(there),
                        blanks ? ", with other blanks" : "");
    break;
  }
  return text;
}

}  // namespace lockstep::hw::kernels
