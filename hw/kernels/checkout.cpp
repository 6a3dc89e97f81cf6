// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/checkout.h"

#include <fmt/format.h>

#include <sstream>

#include "hw/kernels/scratch.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

/// Of a whole tree, without history.
constexpr std::uint64_t tree_bytes = 1'900'000'000;

bool may_be_name(std::string_view word) {
  if (word.empty() || word.front() == '-') return false;
  for (const unsigned char c : word) {
    if (c <= ' ' || c > '~') return false;
  }
  return true;
}

}  // namespace

std::optional<Checkout> Checkout::at(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(folder / ".git", error)) return std::nullopt;
  return Checkout(folder);
}

Process Checkout::git(std::vector<std::string> words) const {
  Process process;
  process.words = {"git",
                   "-C",
                   folder_.string(),
                   "-c",
                   "core.fsmonitor=false",
                   "-c",
                   "core.hooksPath=/dev/null"};
  process.words.insert(process.words.end(), words.begin(), words.end());
  // A checkout without all its objects would fetch them.
  process.environment = {"GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0"};
  return process;
}

std::optional<std::string> Checkout::commit(std::string_view name) const {
  if (!may_be_name(name)) return std::nullopt;
  const auto found =
      run(git({"rev-parse", "--quiet", "--verify", fmt::format("{}^{{commit}}", name)}));
  if (!found || !found->ok()) return std::nullopt;
  return found->out.substr(0, found->out.find('\n'));
}

Result<std::vector<std::string>> Checkout::patch_ids(std::string_view from, std::string_view to,
                                                     std::size_t most) const {
  const auto log =
      run_or_fail(git({"log", "--no-merges", "--format=commit %H", "-p", "--no-ext-diff",
                       "--no-textconv", "--no-show-signature", fmt::format("--max-count={}", most),
                       fmt::format("{}..{}", from, to), "--"}));
  if (!log) return tl::unexpected(log.error());
  auto process = git({"patch-id", "--stable"});
  process.input = log->out;
  const auto named = run_or_fail(process);
  if (!named) return tl::unexpected(named.error());
  std::vector<std::string> ids;
  std::istringstream lines(named->out);
  for (std::string line; std::getline(lines, line);) ids.push_back(line.substr(0, line.find(' ')));
  return ids;
}

Result<Tree> Checkout::tree_of(const Cache& cache, const std::string& commit,
                               const Progress& progress) const {
  const auto target = cache.root() / "commit" / commit;
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  const auto lock = Lock::take(target.string() + ".lock", progress);
  if (!lock) return tl::unexpected(lock.error());
  if (!fs::exists(target, error)) {
    if (const auto room = require_space(target, 2 * tree_bytes, "the tree of the base-commit");
        !room) {
      return tl::unexpected(room.error());
    }
    if (progress) progress(fmt::format("taking the tree of {}", commit.substr(0, 12)));
    const Scratch fresh(target.string() + ".new");
    fs::create_directories(fresh.path(), error);
    const auto archive = fresh.path().string() + ".tar";
    const Scratch file(archive);
    const auto made = run_or_fail(git({"archive", "--format=tar", "-o", archive, commit}));
    if (!made) return tl::unexpected(made.error());
    Process tar;
    tar.words = {"tar", "-xf", archive, "-C", fresh.path().string()};
    if (const auto unpacked = run_or_fail(tar); !unpacked) {
      return tl::unexpected(unpacked.error());
    }
    fs::rename(fresh.path(), target, error);
    if (error) return machine_error(fmt::format("{}: {}", target.string(), error.message()));
  }
  return open_tree(target);
}

}  // namespace lockstep::hw::kernels
