// SPDX-License-Identifier: GPL-2.0-or-later
/// A first build of a patched source that compiles only what the patch changes.
#pragma once

#include <filesystem>

#include "hw/kernels/error.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::kernels {

/// Copy the build folder `warm` of the source at `warm_source` to `folder`, times
/// kept, and rewrite the paths that kbuild recorded, so that make finds the objects
/// of `source` up to date as far as their files are older. Nothing happens if
/// there is no `warm`. The caller holds the lock of `folder`.
Result<void> start_warm(const std::filesystem::path& warm, const std::filesystem::path& warm_source,
                        const std::filesystem::path& folder, const std::filesystem::path& source,
                        const Progress& progress);

}  // namespace lockstep::hw::kernels
