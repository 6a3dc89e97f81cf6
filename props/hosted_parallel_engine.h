// SPDX-License-Identifier: GPL-2.0-or-later
/// Hosted kernels of the flavour asan+schedule as an engine that runs parallel blocks: each
/// thread is a CPU of the kernel, and who runs is decided at each of its locks, marked
/// accesses, grace periods and allocations.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "spec/engine.h"

namespace lockstep::props {

/// Whether the name is that of such an engine: "hosted-asan+schedule:6.1".
bool runs_blocks_on_hosted(std::string_view engine);

/// An engine for one thread.
Result<std::unique_ptr<Engine>> open_parallel_hosted(const std::filesystem::path& image,
                                                     std::string name);

}  // namespace lockstep::props
