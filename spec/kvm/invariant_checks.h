// SPDX-License-Identifier: GPL-2.0-or-later
/// The checks behind the table of invariants. Private to spec/kvm.
#pragma once

#include "spec/kvm/invariants.h"

namespace lockstep::spec::checks {

// invariants_pages.cpp: shadow pages and what links them.
void one_page_a_role(const View& view, Complaints& complaints);       // 9
void children_fit(const View& view, Complaints& complaints);          // 10
void unsync_pages_counted(const View& view, Complaints& complaints);  // 14
void active_pages_valid(const View& view, Complaints& complaints);    // 15
void active_pages_sorted(const View& view, Complaints& complaints);   // 16
void parents_exact(const View& view, Complaints& complaints);         // 20
void roots_counted(const View& view, Complaints& complaints);         // 22
void no_obsolete_roots(const View& view, Complaints& complaints);     // 23

// invariants_slots.cpp: what hangs on memslots.
void rmaps_exact(const View& view, Complaints& complaints);            // 19
void slots_disjoint(const View& view, Complaints& complaints);         // 25
void nothing_outside_slots(const View& view, Complaints& complaints);  // 26
void huge_pages_disallowed(const View& view, Complaints& complaints);  // 28
void huge_pages_in_slots(const View& view, Complaints& complaints);    // 29
void tables_tracked(const View& view, Complaints& complaints);         // 34

/// "0x4012[7]".
std::string print(const ViewPlace& place);
/// The entry at the place; null where no page or no such entry is.
const ViewEntry* find_entry(const View& view, const ViewPlace& place);
/// The slot of the address space that has the gfn; null if none does.
const ViewSlot* find_slot(const View& view, unsigned address_space, Gfn gfn);
/// The page shadows a table of the guest (sp_has_gptes()).
bool shadows_table(const ViewPage& page);
/// 4 KiB pages that an entry of this level maps, as a power of two.
constexpr unsigned level_shift(unsigned level) { return (level - 1) * 9; }

}  // namespace lockstep::spec::checks
