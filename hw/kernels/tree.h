// SPDX-License-Identifier: GPL-2.0-or-later
/// A kernel source tree: one of the cache, or any path of the user's. Never
/// written to.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/cache.h"
#include "hw/kernels/error.h"

namespace lockstep::hw::kernels {

struct Tree {
  std::filesystem::path path;  ///< absolute
  std::string name;            ///< "6.1": VERSION and PATCHLEVEL of its Makefile
  std::string release;         ///< "6.1.192": with SUBLEVEL and EXTRAVERSION
  /// In the cache, where nobody edits it; else the user's own.
  bool pristine = false;
  /// Built in place: kbuild refuses to build such a tree elsewhere.
  bool built = false;

  /// Tells this tree from every other: by name if pristine, else by path.
  std::string identity() const;
};

/// Read the tree at the path. An input error says what lacks, of Makefile and
/// arch/x86/kvm/mmu/mmu.c.
Result<Tree> open_tree(const std::filesystem::path& path);

/// The tree that a user means: a version of the cache ("6.1"), or the path of a
/// tree. An input error names what there is and how to get the rest.
Result<Tree> find_tree(const Cache& cache, std::string_view version_or_path);

/// Names of the versions in the cache, oldest first.
std::vector<std::string> cached_versions(const Cache& cache);

/// "6.1": digits with dots. Nothing else may name a folder of the cache.
bool is_version(std::string_view text);

/// Whether version `a` is older than `b`, number by number.
bool older(std::string_view a, std::string_view b);

}  // namespace lockstep::hw::kernels
