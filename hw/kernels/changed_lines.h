// SPDX-License-Identifier: GPL-2.0-or-later
/// Which lines a patch takes away and which it brings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::hw::kernels {

struct ChangedLines {
  std::string file;               ///< relative to the tree
  std::vector<unsigned> removed;  ///< numbers in the tree without the patch
  std::vector<unsigned> added;    ///< numbers in the tree with the patch
};

/// The files of a unified diff of level -p1, in its order. Text that is no diff is
/// skipped.
std::vector<ChangedLines> changed_lines(std::string_view patch);

}  // namespace lockstep::hw::kernels
