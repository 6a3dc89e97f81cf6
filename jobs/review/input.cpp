// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/input.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "hw/kernels/cache.h"
#include "hw/kernels/process.h"

namespace lockstep::jobs::review {
namespace {

namespace fs = std::filesystem;
namespace kernels = hw::kernels;
using kernels::input_error;
using kernels::Result;

Result<std::string> read_text(const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  if (!error && size > largest_input) {
    return input_error(fmt::format("{}: more than 64 MiB", file.string()));
  }
  auto text = kernels::read_file(file);
  if (!text) return input_error(text.error().message);
  return text;
}

Result<std::string> read_standard_input() {
  std::string text;
  char buffer[65536];
  while (const auto count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
    if (text.size() > largest_input) return input_error("standard input: more than 64 MiB");
  }
  return text;
}

/// Files of a folder by name; of a maildir those of `cur` and `new`.
std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error) && !entry.path().filename().string().starts_with('.')) {
      files.push_back(entry.path());
    }
  }
  for (const char* const part : {"cur", "new"}) {
    if (!fs::is_directory(folder / part, error)) continue;
    for (const auto& entry : fs::directory_iterator(folder / part, error)) {
      if (entry.is_regular_file(error)) files.push_back(entry.path());
    }
  }
  std::ranges::sort(files);
  return files;
}

/// A word that git may have as a range; never an option.
bool may_be_range(const std::string& word) {
  return !word.empty() && word.front() != '-' &&
         std::ranges::all_of(word, [](unsigned char c) { return c > 32 && c < 127; });
}

Result<std::string> git_range(const std::string& range, const fs::path& checkout) {
  kernels::Process git;
  // A checkout may be somebody else's: none of its hooks or programs is run.
  git.words = {"git",
               "-C",
               checkout.string(),
               "-c",
               "core.fsmonitor=false",
               "-c",
               "core.hooksPath=/dev/null",
               "log",
               "--format=%H",
               "--max-count=2",
               range,
               "--"};
  const bool single = range.find("..") == std::string::npos;
  const auto known = kernels::run(git);
  if (!known) return tl::unexpected(known.error());
  if (!known->ok()) {
    return input_error(fmt::format("'{}' is no file, and no range of git in {}: {}", range,
                                   checkout.string(), known->last_words()));
  }
  if (known->out.empty()) return input_error(fmt::format("the range '{}' is empty", range));
  git.words = {"git",
               "-C",
               checkout.string(),
               "-c",
               "core.fsmonitor=false",
               "format-patch",
               "--stdout",
               "--no-signature",
               "--no-ext-diff",
               "--no-textconv"};
  if (single) git.words.emplace_back("-1");
  git.words.push_back(range);
  const auto made = kernels::run_or_fail(git);
  if (!made) return tl::unexpected(made.error());
  return made->out;
}

void add(std::vector<SubmittedPatch>& all, std::vector<SubmittedPatch> more) {
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

bool is_checkout(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / ".git", error);
}

Result<Submission> read_submission(const std::vector<std::string>& arguments,
                                   const fs::path& checkout) {
  std::vector<SubmittedPatch> patches;
  std::string names;
  for (const auto& argument : arguments) {
    names += (names.empty() ? "" : ", ") + argument;
    std::error_code error;
    if (argument == "-") {
      auto text = read_standard_input();
      if (!text) return tl::unexpected(text.error());
      add(patches, patches_in(*text, "standard input"));
    } else if (fs::is_directory(argument, error)) {
      for (const auto& file : files_of(argument)) {
        auto text = read_text(file);
        if (!text) return tl::unexpected(text.error());
        add(patches, patches_in(*text, file.filename().string()));
      }
    } else if (fs::exists(argument, error)) {
      auto text = read_text(argument);
      if (!text) return tl::unexpected(text.error());
      add(patches, patches_in(*text, fs::path(argument).filename().string()));
    } else if (is_checkout(checkout) && may_be_range(argument)) {
      auto text = git_range(argument, checkout);
      if (!text) return tl::unexpected(text.error());
      add(patches, patches_in(*text, argument));
    } else {
      return input_error(fmt::format(
          "{}: no such file; for a range of commits give --kernel the path of a git checkout",
          argument));
    }
  }
  auto arranged = arrange(std::move(patches));
  if (!arranged) return input_error(fmt::format("{}: {}", names, arranged.error()));
  return *std::move(arranged);
}

}  // namespace lockstep::jobs::review
