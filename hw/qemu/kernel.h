// SPDX-License-Identifier: GPL-2.0-or-later
/// The debug kernel: an image that QEMU boots, and KVM as modules.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hw/kernels/build.h"

namespace lockstep::hw::qemu {

/// How the debug kernel is configured and compiled: machine.config and checks.config
/// beside this file.
kernels::Result<kernels::Flavour> debug_flavour();

struct DebugKernel {
  std::filesystem::path image;                 ///< vmlinux, an ELF with a PVH entry
  std::vector<std::filesystem::path> modules;  ///< in the order in which they load
  std::string release;                         ///< "6.1.192"
};

/// Have kbuild make image and modules; what is there and up to date stays.
kernels::Result<DebugKernel> build_debug_kernel(const kernels::Cache& cache,
                                                const kernels::Source& source,
                                                const kernels::Progress& progress);

/// Have kbuild make the modules alone, of a source whose changes all lie in them;
/// the image is that of the base.
kernels::Result<DebugKernel> build_debug_modules(const kernels::Cache& cache,
                                                 const kernels::Source& source,
                                                 const DebugKernel& base,
                                                 const kernels::Progress& progress);

/// Of the files that a patch changes, the first that the image may be compiled from:
/// all but KVM's own and headers that only KVM includes. None if modules suffice.
std::optional<std::string> image_file(const std::vector<std::string>& changed);

/// Whether the image of this source stands in the cache: no build of minutes is needed.
bool is_built(const kernels::Cache& cache, const kernels::Source& source);

}  // namespace lockstep::hw::qemu
