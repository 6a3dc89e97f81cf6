// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/cpu/host_walk.h"

namespace lockstep::spec {

HostWalk walk_host(const PagingState& state, PhysicalMemory& memory, Hfn root,
                   std::uint64_t address, bool write, bool accessed_dirty) {
  Combined rights;
  Hfn table_frame = root;
  for (unsigned level = static_cast<unsigned>(root_level(state.mode)); level != 0; --level) {
    std::uint64_t* const table = memory.table(table_frame);
    if (table == nullptr) return HostBroken{table_frame};
    const unsigned shift = static_cast<unsigned>(page_shift) + 9 * (level - 1);
    std::uint64_t& value = table[(address >> shift) & 511];
    const EntryRead read = read_entry(state, static_cast<TableLevel>(level), value, rights);
    switch (read.kind) {
      case EntryRead::Kind::not_present:
        return HostMiss{.reserved = false};
      case EntryRead::Kind::reserved:
        return HostMiss{.reserved = true};
      case EntryRead::Kind::table:
        // A PDPTE of PAE paging has no accessed flag; bit 5 is reserved.
        if (accessed_dirty && !(state.mode == PagingMode::pae && level == 3)) {
          value |= entry::accessed;
        }
        rights = read.rights;
        table_frame = gpa_to_gfn(read.next);
        break;
      case EntryRead::Kind::leaf: {
        const bool dirty = write && read.leaf.rights.writable;
        if (accessed_dirty) value |= entry::accessed | (dirty ? entry::dirty : 0);
        const std::uint64_t offset = address & (read.leaf.size - 1);
        return HostLeaf{read.leaf, gpa_to_gfn(read.leaf.page | offset)};
      }
    }
  }
  return HostMiss{};  // level 1 holds leaves only
}

}  // namespace lockstep::spec
