// SPDX-License-Identifier: GPL-2.0-or-later
/// Programs that may do anything, kept where they can do no harm: Makefiles and
/// Kconfig of a patch that nobody has read.
#pragma once

#include <filesystem>
#include <vector>

#include "hw/kernels/process.h"

namespace lockstep::hw::kernels {

/// Whether bubblewrap is here and may make its namespaces.
bool sandbox_works();

/// The process, run by bubblewrap: no network, no other processes, the whole root
/// read-only but for `writable`, a private /tmp and an empty home, an unprivileged user, and
/// bounded processor time and file size. A machine error names the package if
/// sandbox_works() says no.
Result<Process> sandboxed(Process process, const std::vector<std::filesystem::path>& writable);

}  // namespace lockstep::hw::kernels
