// SPDX-License-Identifier: GPL-2.0-or-later
/// Walk of tables that an MMU built: the 64-bit format, host frames inside.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "spec/cpu/memory.h"
#include "spec/x86/walk.h"

namespace lockstep::spec {

/// A leaf was reached: what it says (page is a host address).
struct HostLeaf {
  Translated translation;
  Hfn frame = 0;  ///< of the 4-KiB piece that was asked for
};

/// The walk ended early.
struct HostMiss {
  bool reserved = false;  ///< a reserved bit was set; else not present
  bool log_full = false;  ///< a flag must be set, and the page-modification log has no room
  /// EPT only: what the entries read so far grant together.
  Combined rights{.writable = false, .user = false, .executable = false};
};

/// A table frame that is no table.
struct HostBroken {
  Hfn frame = 0;
};

using HostWalk = std::variant<HostLeaf, HostMiss, HostBroken>;

/// Walk `address` from the table at `root`. `state.mode` is pae, level4 or
/// level5. With `accessed_dirty`, set accessed flags on the way and, for a write that
/// the leaf allows, its dirty flag.
HostWalk walk_host(const PagingState& state, PhysicalMemory& memory, Hfn root,
                   std::uint64_t address, bool write, bool accessed_dirty);

}  // namespace lockstep::spec
