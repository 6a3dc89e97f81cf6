// SPDX-License-Identifier: GPL-2.0-or-later
/// Programs that may do anything, kept where they can do no harm: Makefiles and
/// Kconfig of a patch that nobody has read.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "hw/kernels/process.h"

namespace lockstep::hw::kernels {

/// Whether bubblewrap is here and may make its namespaces.
bool sandbox_works();

/// What each process in a sandbox may use.
struct SandboxLimits {
  /// A build of KVM takes a small part of both.
  unsigned cpu_seconds = 600;
  std::uint64_t file_bytes = 1ull << 30;
  std::uint64_t address_space = 0;  ///< bytes; 0: no limit
};

/// The process, run by bubblewrap: no network, no other processes, the whole root
/// read-only but for `writable`, a private /tmp and an empty home, an unprivileged user, and
/// bounded processor time and file size. A machine error names the package if
/// sandbox_works() says no.
Result<Process> sandboxed(Process process, const std::vector<std::filesystem::path>& writable,
                          const SandboxLimits& limits = {});

}  // namespace lockstep::hw::kernels
