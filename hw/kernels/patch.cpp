// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/patch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <set>

#include "hw/kernels/patch_failure.h"
#include "hw/kernels/patch_text.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

/// Copy every file that the patch names; an input error if one is not there.
Result<void> stage(const Tree& tree, const std::vector<FilePatch>& files, const fs::path& scratch) {
  std::set<std::string> made;
  std::error_code error;
  fs::create_directories(scratch, error);
  for (const auto& file : files) {
    if (file.from != file.to && !file.to.empty()) made.insert(file.to);
    for (const auto& name : {file.from, file.to}) {
      if (name.empty() || fs::exists(scratch / name, error)) continue;
      const auto origin = tree.path / name;
      if (!fs::is_regular_file(origin, error)) {
        if (made.contains(name)) continue;
        return input_error(fmt::format(
            "the patch does not apply to linux {}: {} is not in the tree", tree.release, name));
      }
      fs::create_directories((scratch / name).parent_path(), error);
      if (!fs::copy_file(origin, scratch / name, error)) {
        return machine_error(fmt::format("{}: {}", (scratch / name).string(), error.message()));
      }
    }
  }
  return {};
}

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::size_t take_number(std::string_view& text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return error == std::errc() ? number : 0;
}

/// What GNU patch said, line by line, against the files in their order.
class Transcript {
 public:
  Transcript(const Tree& tree, const std::vector<FilePatch>& files) : tree_(tree), files_(files) {}

  void read(std::string_view line) {
    if (take(line, "patching file ")) {
      next_file(line);
    } else if (take(line, "Hunk #")) {
      const auto number = take_number(line);
      if (take(line, " succeeded at ")) {
        note(number, line);
      } else {
        fail(number);
      }
    } else if (line.starts_with("Reversed (or previously applied)")) {
      failures_.push_back(fmt::format("{}: is already as the patch wants it", name()));
    } else if (line.starts_with("patch: **** ") || line.find("already exists!") != line.npos) {
      failures_.emplace_back(line);
    }
  }

  const std::vector<std::string>& notes() const { return notes_; }
  const std::vector<std::string>& failures() const { return failures_; }

 private:
  std::string name() const { return current_ < files_.size() ? files_[current_].name() : "a file"; }

  void next_file(std::string_view said) {
    const auto from = started_ ? current_ + 1 : 0;
    started_ = true;
    for (auto i = from; i < files_.size(); ++i) {
      if (said != files_[i].to && said != files_[i].from &&
          !said.starts_with(files_[i].name() + " ")) {
        continue;
      }
      current_ = i;
      return;
    }
    current_ = files_.size();
  }

  /// "456 with fuzz 1 (offset 3 lines)."
  void note(std::size_t number, std::string_view rest) {
    const auto line = take_number(rest);
    if (rest.ends_with('.')) rest.remove_suffix(1);
    if (!rest.empty()) {
      notes_.push_back(fmt::format("{}:{}: hunk {} applied{}", name(), line, number, rest));
    }
  }

  void fail(std::size_t number) {
    std::string text = fmt::format("hunk {} of {}", number, name());
    if (current_ < files_.size() && number >= 1 && number <= files_[current_].hunks.size()) {
      const auto& hunk = files_[current_].hunks[number - 1];
      const auto& file = files_[current_].from;
      text += fmt::format(" (line {} of the patch), expected at {}:{}", hunk.patch_line, file,
                          hunk.old_line);
      if (const auto there = read_file(tree_.path / file)) {
        text += "\n" + explain_failed_hunk(hunk, file, *there);
      }
    }
    failures_.push_back(std::move(text));
  }

  const Tree& tree_;
  const std::vector<FilePatch>& files_;
  std::size_t current_ = 0;
  bool started_ = false;
  std::vector<std::string> notes_;
  std::vector<std::string> failures_;
};

/// What became of the files, from the folder itself.
void compare(const Tree& tree, const std::vector<FilePatch>& files, const fs::path& scratch,
             AppliedPatch& applied) {
  std::set<std::string> names;
  for (const auto& file : files) {
    for (const auto& name : {file.from, file.to}) {
      if (!name.empty()) names.insert(name);
    }
  }
  std::error_code error;
  for (const auto& name : names) {
    const bool before = fs::exists(tree.path / name, error);
    if (!fs::exists(scratch / name, error)) {
      if (before) applied.removed.push_back(name);
      continue;
    }
    const auto was = before ? read_file(tree.path / name) : Result<std::string>();
    const auto is = read_file(scratch / name);
    if (!before || !was || !is || *was != *is) applied.written.push_back(name);
  }
}

}  // namespace

Result<AppliedPatch> apply_patch(const Tree& tree, const std::string& patch,
                                 const fs::path& scratch) {
  const auto files = parse_patch(patch);
  if (!files) return tl::unexpected(files.error());
  if (const auto staged = stage(tree, *files, scratch); !staged) {
    return tl::unexpected(staged.error());
  }
  Process process;
  process.words = {
      "patch",           "-p1",         "--batch",       "--forward", "--no-backup-if-mismatch",
      "--reject-file=-", "--directory", scratch.string()};
  process.input = patch;
  const auto outcome = run(process);
  if (!outcome) return tl::unexpected(outcome.error());
  Transcript transcript(tree, *files);
  for (const std::string_view output :
       {std::string_view(outcome->out), std::string_view(outcome->err)}) {
    for (auto rest = output; !rest.empty();) {
      const auto newline = rest.find('\n');
      transcript.read(rest.substr(0, newline));
      rest = newline == std::string_view::npos ? "" : rest.substr(newline + 1);
    }
  }
  if (!outcome->ok()) {
    auto failures = transcript.failures();
    if (failures.empty()) failures.push_back(outcome->last_words());
    return input_error(fmt::format("the patch does not apply to linux {}:\n{}", tree.release,
                                   fmt::join(failures, "\n")));
  }
  AppliedPatch applied;
  applied.notes = transcript.notes();
  compare(tree, *files, scratch, applied);
  return applied;
}

}  // namespace lockstep::hw::kernels
