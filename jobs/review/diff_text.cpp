// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/diff_text.h"

#include <fmt/format.h>

#include <charconv>
#include <map>

#include "jobs/review/lines.h"

namespace lockstep::jobs::review {
namespace {

using Lines = std::vector<std::string_view>;

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_number(std::string_view& text, std::size_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

/// Old and new count of a hunk header; none if the line is none.
std::optional<std::pair<std::size_t, std::size_t>> counts_of(std::string_view line) {
  std::size_t first = 0;
  std::size_t before = 1;
  std::size_t after = 1;
  if (!take(line, "@@ -") || !take_number(line, first)) return std::nullopt;
  if (take(line, ",") && !take_number(line, before)) return std::nullopt;
  if (!take(line, " +") || !take_number(line, first)) return std::nullopt;
  if (take(line, ",") && !take_number(line, after)) return std::nullopt;
  if (!line.starts_with(" @@")) return std::nullopt;
  return std::pair(before, after);
}

bool is_git_header(std::string_view line) {
  for (const std::string_view start :
       {"diff --git ", "index ", "new file mode ", "deleted file mode ", "old mode ", "new mode ",
        "similarity index ", "dissimilarity index ", "rename from ", "rename to ", "copy from ",
        "copy to "}) {
    if (line.starts_with(start)) return true;
  }
  return false;
}

/// Reads the lines of a text one after the other.
class Taker {
 public:
  explicit Taker(const Lines& lines) : lines_(lines) {}

  DiffText take_all() {
    for (; at_ < lines_.size() && !taken_.damage; ++at_) outside(lines_[at_]);
    return std::move(taken_);
  }

 private:
  void keep(std::string_view line) { taken_.lines.emplace_back(line); }

  void outside(std::string_view line) {
    if (line.starts_with("diff --git ")) git_ = true;
    if (git_ && is_git_header(line)) {
      keep(line);
      if (line.starts_with("rename to ") || line.starts_with("new mode ")) taken_.files_only = true;
      return;
    }
    if (line.starts_with("GIT binary patch") || line.starts_with("Binary files ")) {
      keep(line);
      taken_.files_only = true;
      return;
    }
    const bool pair =
        line.starts_with("--- ") && at_ + 1 < lines_.size() && lines_[at_ + 1].starts_with("+++ ");
    if (pair) {
      keep(line);
      keep(lines_[++at_]);
      file_ = true;
      return;
    }
    if (const auto counts = counts_of(line); counts && file_) return hunk(*counts);
    if (!line.empty()) git_ = false;
  }

  void hunk(std::pair<std::size_t, std::size_t> left) {
    const auto header = at_;
    std::vector<std::string_view> lines = {lines_[at_]};
    auto [before, after] = left;
    while (before > 0 || after > 0) {
      if (++at_ >= lines_.size()) return damaged(header, "ends early");
      const auto line = lines_[at_];
      const char kind = line.empty() ? ' ' : line.front();
      if (kind == '\\') {
        lines.push_back(line);
        continue;
      }
      const bool known = kind == ' ' || kind == '-' || kind == '+' || kind == '\t';
      if (!known || kind == '\t' || (kind != '+' && before == 0) || (kind != '-' && after == 0)) {
        return damaged(header,
                       fmt::format("has {} where {} old and {} new lines are left",
                                   line.empty() ? "an empty line" : "'" + std::string(line) + "'",
                                   before, after));
      }
      if (kind != '+') --before;
      if (kind != '-') --after;
      lines.push_back(line);
    }
    if (at_ + 1 < lines_.size() && lines_[at_ + 1].starts_with('\\'))
      lines.push_back(lines_[++at_]);
    for (const auto line : lines) keep(line.empty() ? " " : line);
    ++taken_.hunks;
  }

  void damaged(std::size_t header, const std::string& what) {
    taken_.damage = {at_ + 1, fmt::format("the hunk '{}' {}", lines_[header], what)};
  }

  const Lines& lines_;
  std::size_t at_ = 0;
  bool git_ = false;
  bool file_ = false;
  DiffText taken_;
};

/// RFC 3676: one leading space was added to lines that would be ambiguous; lines
/// that end with a space go on.
std::vector<std::string> unflowed(const Lines& lines, bool join, bool delete_space) {
  std::vector<std::string> plain;
  bool goes_on = false;
  for (auto line : lines) {
    if (line.starts_with(' ')) line.remove_prefix(1);
    const bool signature = line == "-- ";
    if (goes_on && !signature && !plain.empty()) {
      plain.back() += line;
    } else {
      plain.emplace_back(line);
    }
    goes_on = join && !signature && line.ends_with(' ') && line.size() > 1;
    if (goes_on && delete_space) plain.back().pop_back();
  }
  return plain;
}

/// Number of '>' before the text, and the text.
std::pair<unsigned, std::string_view> unquoted(std::string_view line) {
  unsigned depth = 0;
  auto rest = line;
  while (rest.starts_with('>') || rest.starts_with(" >")) {
    rest.remove_prefix(rest.find('>') + 1);
    ++depth;
  }
  if (depth != 0 && rest.starts_with(' ')) rest.remove_prefix(1);
  return {depth, rest};
}

/// How deep the quotes are in which the diff's headers stand; 0 if none do.
unsigned depth_of_diff(const Lines& lines) {
  std::map<unsigned, unsigned> votes;
  for (const auto line : lines) {
    const auto [depth, text] = unquoted(line);
    if (depth != 0 && (text.starts_with("diff --git ") || counts_of(text))) ++votes[depth];
  }
  unsigned best = 0;
  for (const auto& [depth, count] : votes) {
    if (best == 0 || count > votes[best]) best = depth;
  }
  return best;
}

std::vector<std::string> without_quotes(const Lines& lines, unsigned wanted) {
  std::vector<std::string> plain;
  for (const auto line : lines) {
    const auto [depth, text] = unquoted(line);
    if (depth == wanted) plain.emplace_back(text);
  }
  return plain;
}

/// Hunk headers, whole or not.
std::size_t headers_in(const std::vector<std::string>& lines) {
  std::size_t count = 0;
  for (const auto& line : lines) count += counts_of(line) ? 1 : 0;
  return count;
}

}  // namespace

DiffText take_diff(const Lines& lines) { return Taker(lines).take_all(); }

ExtractedDiff extract_diff(std::string_view body, bool flowed, bool delete_space) {
  struct Attempt {
    std::vector<std::string> lines;
    std::string note;
  };
  const auto lines = lines_of(body);
  std::vector<Attempt> attempts = {{{lines.begin(), lines.end()}, ""}};
  if (flowed) {
    attempts.push_back({unflowed(lines, false, false), "format=flowed: one space taken off"});
    attempts.push_back({unflowed(lines, true, delete_space), "format=flowed: lines joined again"});
  }
  if (const auto depth = depth_of_diff(lines); depth != 0) {
    attempts.push_back({without_quotes(lines, depth),
                        fmt::format("quoted in an answer: '{}' taken off, the answers between "
                                    "the lines dropped",
                                    std::string(depth, '>') + " ")});
  }
  ExtractedDiff made;
  std::size_t most = 0;
  for (const auto& attempt : attempts) {
    const Lines views(attempt.lines.begin(), attempt.lines.end());
    const auto taken = take_diff(views);
    if (taken.any() && !taken.damage) {
      made = {joined(taken.lines), {}, {}, {}};
      if (!attempt.note.empty()) made.notes.push_back(attempt.note);
      return made;
    }
    if (!taken.damage || headers_in(attempt.lines) <= most) continue;
    most = headers_in(attempt.lines);
    made.damaged = attempt.lines;
    made.damage = fmt::format("line {} of the text: {}", taken.damage->first, taken.damage->second);
    made.notes.clear();
    if (!attempt.note.empty()) made.notes.push_back(attempt.note);
  }
  return made;
}

}  // namespace lockstep::jobs::review
