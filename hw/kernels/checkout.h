// SPDX-License-Identifier: GPL-2.0-or-later
/// A git checkout of a kernel, asked about its commits. It is somebody else's: none of
/// its hooks, filters or programs runs, and nothing in it is written.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/cache.h"
#include "hw/kernels/error.h"
#include "hw/kernels/process.h"
#include "hw/kernels/tree.h"

namespace lockstep::hw::kernels {

class Checkout {
 public:
  /// None if the folder is no checkout.
  static std::optional<Checkout> at(const std::filesystem::path& folder);

  /// The commit that a name stands for, whole; none if there is none. Names that git
  /// could take for an option have none.
  std::optional<std::string> commit(std::string_view name) const;

  /// What `git patch-id --stable` says of the commits of the range `from`..`to`, newest
  /// first; of at most `most` of them.
  Result<std::vector<std::string>> patch_ids(std::string_view from, std::string_view to,
                                             std::size_t most) const;

  /// The tree of a commit, in the cache: exported once. Errors: no space, git or tar
  /// fails, it holds no kernel.
  Result<Tree> tree_of(const Cache& cache, const std::string& commit,
                       const Progress& progress) const;

 private:
  explicit Checkout(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Process git(std::vector<std::string> words) const;

  std::filesystem::path folder_;
};

}  // namespace lockstep::hw::kernels
