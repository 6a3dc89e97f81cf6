// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/repair.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "hw/kernels/cache.h"
#include "jobs/review/indent.h"
#include "jobs/review/lines.h"

namespace lockstep::jobs::review {
namespace {

namespace fs = std::filesystem;

/// As GNU patch: of the context's outer lines so many may differ.
constexpr std::size_t most_fuzz = 2;

struct LooseLine {
  char kind = ' ';
  std::string text;
  std::string squeezed;
};

struct LooseHunk {
  std::size_t number = 0;  ///< within its file
  std::size_t line = 0;    ///< of the damaged text
  std::size_t wanted = 0;  ///< line of the old file, from 1
  std::size_t count = 1;   ///< old lines that the header promises
  std::string heading;     ///< after the second "@@"
  std::vector<LooseLine> lines;
};

struct LooseFile {
  std::string name;
  std::vector<LooseHunk> hunks;
};

/// "a/x/y.c" without its first folder; empty if it is no name below a tree.
std::string below_tree(std::string_view word) {
  word = trimmed(word);
  const auto slash = word.find('/');
  if (slash == std::string_view::npos || slash == 0) return "";
  const auto name = std::string(word.substr(slash + 1));
  return name.starts_with('/') || name.find("..") != std::string::npos ? "" : name;
}

bool ends_diff(std::string_view line) { return line == "--" || line == "-- "; }

/// The hunks of the text, whatever their lines are.
std::vector<LooseFile> parse(const std::vector<std::string>& lines) {
  std::vector<LooseFile> files;
  bool within = false;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    if (line.starts_with("diff --git ") || ends_diff(line)) {
      within = false;
    } else if (line.starts_with("--- ") && i + 1 < lines.size() &&
               lines[i + 1].starts_with("+++ ")) {
      const auto name = below_tree(std::string_view(lines[++i]).substr(4));
      files.push_back({name, {}});
      within = false;
    } else if (line.starts_with("@@ -") && !files.empty()) {
      LooseHunk hunk;
      hunk.number = files.back().hunks.size() + 1;
      hunk.line = i + 1;
      const char* const end = line.data() + line.size();
      const auto rest = std::from_chars(line.data() + 4, end, hunk.wanted);
      if (rest.ptr != end && *rest.ptr == ',') {
        std::from_chars(rest.ptr + 1, end, hunk.count);
      }
      const auto heading = line.find("@@", 3);
      if (heading != std::string_view::npos) hunk.heading = line.substr(heading + 2);
      files.back().hunks.push_back(std::move(hunk));
      within = true;
    } else if (within) {
      LooseLine loose;
      const bool marked = line.starts_with('+') || line.starts_with('-');
      if (marked) loose.kind = line.front();
      loose.text = line.starts_with(' ') || marked ? line.substr(1) : line;
      loose.squeezed = squeezed(loose.text);
      files.back().hunks.back().lines.push_back(std::move(loose));
    }
  }
  return files;
}

/// The file of the tree, and its lines without blanks.
struct Text {
  std::vector<std::string> lines;
  std::vector<std::string> squeezed;
};

/// A hunk laid over the tree's lines.
struct Placed {
  std::size_t begin = 0;  ///< first line of the tree that it covers, from 0
  std::size_t old_lines = 0;
  std::vector<std::pair<char, std::string>> lines;
};

/// Lay the hunk, without its first and last context lines that fuzz gives up, over
/// the tree from `start`; none if a line differs.
std::optional<Placed> lay(const LooseHunk& hunk, std::size_t first, std::size_t last,
                          const Text& text, std::size_t start) {
  Placed placed{start, 0, {}};
  auto at = start;
  // More lines than promised: a mail program broke some.
  const auto old_lines = std::ranges::count_if(
      hunk.lines, [](const LooseLine& line) { return line.kind != '+' && !line.squeezed.empty(); });
  auto broken = std::max(0L, static_cast<long>(old_lines) - static_cast<long>(hunk.count));
  const auto keep_blank = [&] { placed.lines.emplace_back(' ', text.lines[at++]); };
  for (auto i = first; i < last; ++i) {
    const auto& line = hunk.lines[i];
    if (line.kind == '+') {
      placed.lines.emplace_back('+', line.text);
      continue;
    }
    if (line.squeezed.empty()) {
      const bool there = at < text.lines.size() && text.squeezed[at].empty();
      if (there) {
        placed.lines.emplace_back(line.kind, text.lines[at++]);
      } else if (line.kind == '-') {
        return std::nullopt;
      }
      continue;
    }
    // The archive may have lost empty lines; never the first.
    while (at > start && at < text.lines.size() && text.squeezed[at].empty()) keep_blank();
    if (at < text.lines.size() && text.squeezed[at] == line.squeezed) {
      placed.lines.emplace_back(line.kind, text.lines[at++]);
    } else if (line.kind == ' ' && broken > 0 && !placed.lines.empty() &&
               placed.lines.back().first == '+') {
      --broken;
      placed.lines.back().second += " " + line.text;
    } else {
      return std::nullopt;
    }
  }
  placed.old_lines = at - start;
  return placed.old_lines == 0 ? std::nullopt : std::optional(placed);
}

/// Give added lines that lost it their indentation.
void indent(Placed& placed) {
  std::vector<std::string> after;
  for (auto& [kind, text] : placed.lines) {
    const auto content = trimmed(text);
    const bool kept = text.starts_with('\t') || text.starts_with("  ") ||
                      (!text.starts_with(' ') && !content.empty());
    if (kind == '+' && content.empty()) text.clear();
    if (kind == '+' && !kept && !content.empty()) {
      std::string moved;
      for (const auto& [other, line] : placed.lines) {
        if (other == '-' && trimmed(line) == content) moved = line;
      }
      text = moved.empty() ? guess_indent(after, content) + std::string(content) : moved;
    }
    if (kind != '-') after.push_back(text);
  }
}

class Repairer {
 public:
  explicit Repairer(const fs::path& tree) : tree_(tree) {}

  void file(const LooseFile& file) {
    made_.hunks += file.hunks.size();
    const hw::kernels::Result<std::string> read =
        file.name.empty() ? hw::kernels::Result<std::string>(hw::kernels::input_error(""))
                          : hw::kernels::read_file(tree_ / file.name);
    if (!read) {
      for (const auto& hunk : file.hunks) fail(file, hunk, "the tree has no such file");
      return;
    }
    Text text;
    for (const auto line : lines_of(*read)) {
      text.lines.emplace_back(line);
      text.squeezed.push_back(squeezed(line));
    }
    std::string hunks;
    long shift = 0;   // lines that earlier hunks brought
    long offset = 0;  // of the last hunk that was placed
    std::size_t from = 0;
    for (const auto& hunk : file.hunks) {
      auto placed = find(file, hunk, text, from, offset);
      if (!placed) continue;
      indent(*placed);
      hunks += print(hunk, *placed, shift);
      from = placed->begin + placed->old_lines;
    }
    if (hunks.empty()) return;
    made_.diff +=
        fmt::format("diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n{1}", file.name, hunks);
  }

  Repair take() { return std::move(made_); }

 private:
  void fail(const LooseFile& file, const LooseHunk& hunk, std::string_view why) {
    made_.failures.push_back(fmt::format("line {} of the text: hunk {} of {}: {}", hunk.line,
                                         hunk.number, file.name.empty() ? "?" : file.name, why));
  }

  std::optional<Placed> find(const LooseFile& file, const LooseHunk& hunk, const Text& text,
                             std::size_t from, long& offset) {
    std::size_t lead = 0;
    std::size_t trail = 0;
    const auto count = hunk.lines.size();
    while (lead < count && hunk.lines[lead].kind == ' ') ++lead;
    while (trail < count - lead && hunk.lines[count - 1 - trail].kind == ' ') ++trail;
    for (std::size_t fuzz = 0; fuzz <= most_fuzz; ++fuzz) {
      const auto keep = std::max(lead, trail) - std::min(fuzz, std::max(lead, trail));
      const auto first = lead > keep ? lead - keep : 0;
      const auto last = count - (trail > keep ? trail - keep : 0);
      const long wanted = static_cast<long>(hunk.wanted) - 1 + static_cast<long>(first) + offset;
      // Outwards from where it should stand.
      for (long distance = 0; distance <= static_cast<long>(text.lines.size()); ++distance) {
        for (const long at : {wanted - distance, wanted + distance}) {
          if (at < static_cast<long>(from) || at >= static_cast<long>(text.lines.size())) continue;
          auto placed = lay(hunk, first, last, text, static_cast<std::size_t>(at));
          if (!placed) continue;
          const long moved = at - static_cast<long>(hunk.wanted) + 1 - static_cast<long>(first);
          ++made_.placed;
          offset = moved;
          if (fuzz != 0 || moved != 0) {
            made_.notes.push_back(fmt::format("{}:{}: hunk {} placed with offset {}{}", file.name,
                                              at + 1, hunk.number, moved,
                                              fuzz != 0 ? fmt::format(", fuzz {}", fuzz) : ""));
          }
          return placed;
        }
      }
    }
    fail(file, hunk, nearest(hunk, text));
    return std::nullopt;
  }

  /// The first line that the file does not have at all.
  static std::string nearest(const LooseHunk& hunk, const Text& text) {
    for (const auto& line : hunk.lines) {
      if (line.kind == '+' || line.squeezed.empty()) continue;
      if (std::ranges::find(text.squeezed, line.squeezed) == text.squeezed.end()) {
        return fmt::format("the file has no line '{}'", trimmed(line.text));
      }
    }
    return "its lines stand in the file, but not one after the other";
  }

  static std::string print(const LooseHunk& hunk, const Placed& placed, long& shift) {
    std::size_t new_lines = 0;
    std::string body;
    for (const auto& [kind, text] : placed.lines) {
      if (kind != '-') ++new_lines;
      body += fmt::format("{}{}\n", kind, text);
    }
    const auto begin = static_cast<long>(placed.begin) + 1;
    const auto header = fmt::format("@@ -{},{} +{},{} @@{}\n", begin, placed.old_lines,
                                    begin + shift, new_lines, hunk.heading);
    shift += static_cast<long>(new_lines) - static_cast<long>(placed.old_lines);
    return header + body;
  }

  const fs::path& tree_;
  Repair made_;
};

}  // namespace

Repair repair(const std::vector<std::string>& lines, const fs::path& tree) {
  Repairer repairer(tree);
  for (const auto& file : parse(lines)) repairer.file(file);
  return repairer.take();
}

}  // namespace lockstep::jobs::review
