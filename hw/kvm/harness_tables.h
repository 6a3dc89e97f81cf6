// SPDX-License-Identifier: GPL-2.0-or-later
/// Page tables of the harness guest, and the root entries that lead to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/kvm/harness_layout.h"

namespace lockstep::hw {

/// Fill the page-table pages of the harness slot. Accessed and dirty are set
/// and no entry needs PSE, NX, PGE or a protection key, so that no program
/// can observe the harness and no control bit can break it.
void build_harness_tables(std::span<std::byte> slot, PagingMode mode);

/// An entry that a root table page must hold for the harness to run.
struct RootEntry {
  unsigned index = 0;
  std::uint64_t value = 0;
};

/// Entries of the harness in a root table of the mode; none without paging.
std::vector<RootEntry> harness_root_entries(PagingMode mode);

}  // namespace lockstep::hw
