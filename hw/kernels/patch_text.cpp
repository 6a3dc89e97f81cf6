// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/patch_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

namespace lockstep::hw::kernels {
namespace {

constexpr std::string_view no_file = "/dev/null";

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

struct Range {
  std::size_t line = 0;
  std::size_t count = 1;
};

bool take_range(std::string_view& text, Range& range) {
  return take_number(text, range.line) && (!take(text, ",") || take_number(text, range.count));
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::vector<FilePatch>> parse() {
    while (next()) {
      if (line_.starts_with("GIT binary patch") || line_.starts_with("Binary files ")) {
        return wrong("a binary diff, which no kernel source needs");
      }
      if (const auto done = read_line(); !done) return tl::unexpected(done.error());
    }
    if (files_.empty())
      return input_error("no diff in the patch: neither '--- ' nor 'rename from '");
    return std::move(files_);
  }

 private:
  Result<void> read_line() {
    if (take(line_, "diff --git ")) {
      old_.reset();
      return {};
    }
    if (line_.starts_with("new file mode 120") || line_.starts_with("new mode 120")) {
      return wrong("a symbolic link, which is not applied");
    }
    if (take(line_, "rename from ") || take(line_, "copy from ")) return set_old(line_, false);
    if (take(line_, "rename to ") || take(line_, "copy to ")) return add_file(line_, false);
    if (take(line_, "--- ")) return set_old(line_, true);
    if (old_ && take(line_, "+++ ")) return add_file(line_, true);
    if (line_.starts_with("@@ -") && !files_.empty()) return read_hunk();
    return {};
  }

  bool next() {
    if (text_.empty()) return false;
    const auto newline = text_.find('\n');
    line_ = text_.substr(0, newline);
    if (line_.ends_with('\r')) line_.remove_suffix(1);
    text_ = newline == std::string_view::npos ? "" : text_.substr(newline + 1);
    ++number_;
    return true;
  }

  tl::unexpected<KernelError> wrong(std::string_view what) const {
    return input_error(fmt::format("line {} of the patch: {}", number_, what));
  }

  /// A path below the tree; empty for /dev/null.
  Result<std::string> path(std::string_view word, bool stripped) const {
    word = word.substr(0, word.find('\t'));
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (word == no_file) return std::string();
    if (word.starts_with('"')) return wrong(fmt::format("{} is no name of a kernel's file", word));
    if (stripped) {
      const auto slash = word.find('/');
      if (slash == std::string_view::npos || slash == 0) {
        return wrong(fmt::format("'{}' has no first folder to strip, as a/ in git", word));
      }
      word.remove_prefix(slash + 1);
    }
    const std::filesystem::path name(word);
    const bool leaves = std::ranges::any_of(name, [](const auto& part) { return part == ".."; });
    if (word.empty() || name.is_absolute() || leaves || name.begin()->string() == ".git") {
      return wrong(fmt::format("'{}' is no file of a kernel tree", word));
    }
    return name.lexically_normal().string();
  }

  Result<void> set_old(std::string_view word, bool stripped) {
    auto name = path(word, stripped);
    // "--- " also ends a mail's text before its signature or its statistics.
    if (!name && stripped && !text_.starts_with("+++ ")) return {};
    if (!name) return tl::unexpected(name.error());
    old_ = std::move(*name);
    return {};
  }

  Result<void> add_file(std::string_view word, bool stripped) {
    auto name = path(word, stripped);
    if (!name) return tl::unexpected(name.error());
    if (!old_) return wrong("a new name without an old one");
    if (old_->empty() && name->empty()) return wrong("a diff from nothing to nothing");
    const bool again = !files_.empty() && files_.back().hunks.empty() &&
                       files_.back().from == *old_ && files_.back().to == *name;
    if (!again) files_.push_back({*old_, std::move(*name), {}});
    return {};
  }

  Result<void> read_hunk() {
    Hunk hunk;
    hunk.patch_line = number_;
    Range before, after;
    if (!take(line_, "@@ -") || !take_range(line_, before) || !take(line_, " +") ||
        !take_range(line_, after) || !line_.starts_with(" @@")) {
      return wrong("a hunk header that is none: @@ -LINE,COUNT +LINE,COUNT @@ was expected");
    }
    hunk.old_line = before.line;
    while (before.count > 0 || after.count > 0) {
      if (!next()) return wrong("the patch ends within a hunk");
      const char kind = line_.empty() ? ' ' : line_.front();
      if (kind == '\\') continue;
      if ((kind != ' ' && kind != '-' && kind != '+') || (kind != '+' && before.count == 0) ||
          (kind != '-' && after.count == 0)) {
        return wrong(fmt::format("'{}' where {} more old and {} more new lines of a hunk should be",
                                 line_, before.count, after.count));
      }
      if (kind != '+') --before.count;
      if (kind != '-') --after.count;
      if (kind != '+') hunk.context.emplace_back(line_.empty() ? line_ : line_.substr(1));
    }
    files_.back().hunks.push_back(std::move(hunk));
    return {};
  }

  std::string_view text_;
  std::string_view line_;
  std::size_t number_ = 0;
  std::optional<std::string> old_;
  std::vector<FilePatch> files_;
};

}  // namespace

Result<std::vector<FilePatch>> parse_patch(std::string_view text) { return Parser(text).parse(); }

}  // namespace lockstep::hw::kernels
