// SPDX-License-Identifier: GPL-2.0-or-later
/// A second tree made of the files of a first: what kbuild reads to compile KVM.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "hw/kernels/error.h"

namespace lockstep::hw::kernels {

enum class Share {
  link,  ///< hard links: the origin is pristine, in the same file system, and nobody edits it
  copy,  ///< copies with the origin's times: the origin is somebody's own
};

/// Make `target` hold the files of the tree `origin` that a build of KVM reads,
/// except those that kbuild made there. What has the origin's size and time
/// stays; what the origin lost is removed. Files named in `own` (relative) are
/// neither touched nor missed: they are the caller's.
Result<void> mirror_tree(const std::filesystem::path& origin, const std::filesystem::path& target,
                         Share share, const std::set<std::string>& own);

/// Whether a build of KVM reads the file, by its path relative to the tree: every
/// makefile and Kconfig file, the folders that `make prepare` and KVM compile
/// from, and headers.
bool build_reads(std::string_view relative);

}  // namespace lockstep::hw::kernels
