// SPDX-License-Identifier: GPL-2.0-or-later
/// Walk of extended page tables: SDM volume 3, "The Extended Page Table
/// Mechanism (EPT)".
#pragma once

#include <cstdint>

#include "spec/cpu/host_walk.h"

namespace lockstep::spec {

/// Walk guest physical `address` from the table at `root`, of `levels` levels.
/// In what is returned, `user` is the read bit, and `reserved` an EPT
/// misconfiguration. With `accessed_dirty`, set accessed flags on the way and,
/// for a write that the leaf allows, its dirty flag. Execute-only entries are
/// supported; mode-based execute control is not.
HostWalk walk_ept(PhysicalMemory& memory, Hfn root, unsigned levels, std::uint64_t address,
                  bool write, bool accessed_dirty, unsigned maxphyaddr);

}  // namespace lockstep::spec
