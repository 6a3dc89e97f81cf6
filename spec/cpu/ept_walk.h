// SPDX-License-Identifier: GPL-2.0-or-later
/// Walk of extended page tables: SDM volume 3, "The Extended Page Table
/// Mechanism (EPT)".
#pragma once

#include <cstdint>

#include "spec/cpu/host_walk.h"

namespace lockstep::spec {

/// SDM "Page-Modification Logging": where a processor notes pages whose dirty flag it
/// sets. Each entry is a guest physical address of 4 KiB.
struct PageModificationLog {
  Hfn page = 0;               ///< 512 entries, which PhysicalMemory::table() reaches
  std::uint16_t index = 511;  ///< of the next entry; counts down, 0xffff comes after 0
};

/// Walk guest physical `address` from the table at `root`, of `levels` levels.
/// In what is returned, `user` is the read bit, and `reserved` an EPT
/// misconfiguration. With `accessed_dirty`, set accessed flags on the way and,
/// for a write that the leaf allows, its dirty flag. With a `log` besides, a page whose
/// dirty flag becomes set is noted there, and the walk ends (HostMiss::log_full) where a
/// flag must be set and the log is full. Execute-only entries are supported; mode-based
/// execute control is not.
HostWalk walk_ept(PhysicalMemory& memory, Hfn root, unsigned levels, std::uint64_t address,
                  bool write, bool accessed_dirty, unsigned maxphyaddr,
                  PageModificationLog* log = nullptr);

}  // namespace lockstep::spec
