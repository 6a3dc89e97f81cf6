// SPDX-License-Identifier: GPL-2.0-or-later
/// Debug kernels of this process, by the name of the engine that will boot them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "hw/kernels/error.h"
#include "hw/kernels/process.h"
#include "hw/qemu/engine.h"
#include "hw/qemu/kernel.h"
#include "spec/engine.h"

namespace lockstep::hw::qemu {

/// The root file system that holds the agent, in the cache; made when the agent changed.
kernels::Result<std::filesystem::path> prepare_initramfs(const kernels::Cache& cache);

/// Build the kernel of the engine, once in this process and its children. The first
/// build of a version takes minutes. Not thread-safe.
kernels::Result<DebugKernel> prepare_debug_kernel(std::string_view name,
                                                  const kernels::Progress& progress);

/// An engine for one thread, of a name with a mode ("qemu-shadow:6.1"). Builds what
/// prepare_debug_kernel() did not.
lockstep::Result<std::unique_ptr<Engine>> open_qemu_engine(std::string_view name);

/// The same of a kernel that somebody built.
lockstep::Result<std::unique_ptr<Engine>> open_booted(EngineOptions options);

}  // namespace lockstep::hw::qemu
