// SPDX-License-Identifier: GPL-2.0-or-later
/// What kbuild compiles: a tree as it is, or a copy of it with a patch.
#pragma once

#include <string>
#include <vector>

#include "hw/kernels/tree.h"

namespace lockstep::hw::kernels {

struct Source {
  Tree tree;                         ///< where it comes from
  std::filesystem::path path;        ///< what kbuild reads; equals tree.path without a patch
  std::string key;                   ///< names it in the cache: tree and patch
  std::filesystem::path base_path;   ///< what kbuild reads of the same tree without the patch
  std::string base_key;              ///< names that in the cache
  std::vector<std::string> changed;  ///< files that the patch touches, relative to the tree
  std::vector<std::string> notes;    ///< hunks that applied with an offset or with fuzz
  /// The patch decides how the kernel is built: whatever make runs, runs in a sandbox.
  bool untrusted = false;
};

/// The tree as it is. A tree that was built in place is copied to the cache
/// without what kbuild made, and only what a build of KVM reads; a later call
/// copies what changed since.
Result<Source> plain_source(const Cache& cache, const Tree& tree, const Progress& progress);

/// The tree with the patch (unified diff of any git or mail origin, level -p1) in
/// an overlay of the cache, made once for each tree and text: hard links to a
/// pristine tree, copies of a user's. Where the patch does not apply the input
/// error names the hunk, the kernel's own file and line, and what stands there;
/// the cache then holds nothing of it.
Result<Source> patched_source(const Cache& cache, const Tree& tree, const std::string& patch,
                              const Progress& progress);

}  // namespace lockstep::hw::kernels
