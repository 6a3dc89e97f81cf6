// SPDX-License-Identifier: GPL-2.0-or-later
/// What a patch is about to do, read before GNU patch does it: untrusted text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"

namespace lockstep::hw::kernels {

struct Hunk {
  std::size_t patch_line = 0;        ///< line of the patch where its header stands, from 1
  std::size_t old_line = 0;          ///< first line that it wants to find, from 1
  std::vector<std::string> context;  ///< lines that it wants to find: kept and removed ones
};

struct FilePatch {
  std::string from;  ///< relative to the tree; empty if the patch makes the file
  std::string to;    ///< relative to the tree; empty if the patch removes it
  std::vector<Hunk> hunks;

  const std::string& name() const { return to.empty() ? from : to; }
};

/// The files of a unified diff, in order; mail headers and other text between are
/// skipped. Input errors, with the patch's line: no diff at all, a hunk that ends
/// early, a binary diff, a symbolic link, a path that is absolute, leaves the tree,
/// or has no folder to strip (-p1).
Result<std::vector<FilePatch>> parse_patch(std::string_view text);

}  // namespace lockstep::hw::kernels
