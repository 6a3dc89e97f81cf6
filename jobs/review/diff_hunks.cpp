// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/diff_hunks.h"

#include <charconv>

#include "jobs/review/lines.h"

namespace lockstep::jobs::review {
namespace {

unsigned number_at(std::string_view line, std::size_t at) {
  unsigned number = 0;
  if (at < line.size()) std::from_chars(line.data() + at, line.data() + line.size(), number);
  return number;
}

}  // namespace

std::vector<DiffHunk> diff_hunks(const std::string& diff) {
  std::vector<DiffHunk> hunks;
  std::vector<std::string> header;
  std::string file;
  unsigned before = 0;
  unsigned after = 0;
  const auto lines = lines_of(diff);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto line = lines[i];
    const bool pair =
        line.starts_with("--- ") && i + 1 < lines.size() && lines[i + 1].starts_with("+++ ");
    if (pair) {
      const auto next = lines[++i];
      header = {std::string(line), std::string(next)};
      const auto named = next.ends_with("/dev/null") ? line : next;
      const auto slash = named.find('/');
      file = slash == std::string_view::npos ? "" : named.substr(slash + 1);
    } else if (line.starts_with("@@ -")) {
      const auto plus = line.find(" +");
      const auto end = line.find("@@", 3);
      before = number_at(line, 4);
      after = plus == std::string_view::npos ? 0 : number_at(line, plus + 2);
      DiffHunk hunk{file, header, std::string(line), "", {}};
      if (end != std::string_view::npos) hunk.heading = trimmed(line.substr(end + 2));
      hunks.push_back(std::move(hunk));
    } else if (!hunks.empty() && !line.empty()) {
      const char kind = line.front();
      DiffLine made{
          kind, std::string(line.substr(1)), {file, kind == '-' ? before : after, kind == '-'}};
      hunks.back().lines.push_back(std::move(made));
      if (kind == '-' || kind == ' ') ++before;
      if (kind == '+' || kind == ' ') ++after;
    }
  }
  return hunks;
}

}  // namespace lockstep::jobs::review
