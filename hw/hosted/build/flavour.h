// SPDX-License-Identifier: GPL-2.0-or-later
/// The ways in which the hosted engine compiles a kernel.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/build.h"

namespace lockstep::hw::hosted {

/// Names that make_flavour() knows: "release" is fast, "asan" checks every
/// memory access, "lockdep" the order of locks and sleeping under them, "asan+schedule"
/// does both and runs several CPUs, "tsan" looks for data races beside, "coverage"
/// tells which basic blocks ran (hw/hosted/coverage.h).
const std::vector<std::string_view>& flavour_names();

/// The kernel's side of a flavour. An input error lists the names.
kernels::Result<kernels::Flavour> make_flavour(std::string_view name);

/// Whether somebody may control the schedule of its CPUs.
bool is_scheduled(std::string_view flavour);

/// Flags for the shim beside kbuild's own.
std::vector<std::string> shim_flags(std::string_view flavour);

/// Folder of the shim's sources in Lockstep's own tree.
std::filesystem::path shim_folder();

}  // namespace lockstep::hw::hosted
