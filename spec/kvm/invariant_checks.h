// SPDX-License-Identifier: GPL-2.0-or-later
/// The checks behind the table of invariants. Private to spec/kvm.
#pragma once

#include "spec/kvm/invariants.h"

namespace lockstep::spec::checks {

// invariants.cpp: counters.
void caches_bounded(const View& view, Complaints& complaints);       // 1
void pages_summed(const View& view, Complaints& complaints);         // 3
void huge_splits_counted(const View& view, Complaints& complaints);  // 38
void leaves_counted(const View& view, Complaints& complaints);       // 39
void pages_counted(const View& view, Complaints& complaints);        // 40

// invariants_pages.cpp: shadow pages and what links them.
void one_page_a_role(const View& view, Complaints& complaints);       // 9
void children_fit(const View& view, Complaints& complaints);          // 10
void unsync_pages_counted(const View& view, Complaints& complaints);  // 14
void active_pages_valid(const View& view, Complaints& complaints);    // 15
void active_pages_sorted(const View& view, Complaints& complaints);   // 16
void roots_fit(const View& view, Complaints& complaints);             // 18
void parents_exact(const View& view, Complaints& complaints);         // 20
void roots_counted(const View& view, Complaints& complaints);         // 22
void no_obsolete_roots(const View& view, Complaints& complaints);     // 23

// invariants_entries.cpp: what single entries may say.
void rights_granted(const View& view, Complaints& complaints);       // 11
void tables_protected(const View& view, Complaints& complaints);     // 12
void mmio_without_slot(const View& view, Complaints& complaints);    // 27
void writes_logged(const View& view, Complaints& complaints);        // 31
void write_bits_agree(const View& view, Complaints& complaints);     // 35
void nothing_frozen(const View& view, Complaints& complaints);       // 36
void invalid_roots_empty(const View& view, Complaints& complaints);  // 37
void host_pages_current(const View& view, Complaints& complaints);   // 42

// invariants_slots.cpp: what hangs on memslots.
void rmaps_exact(const View& view, Complaints& complaints);            // 19
void rmaps_short(const View& view, Complaints& complaints);            // 21
void slots_disjoint(const View& view, Complaints& complaints);         // 25
void nothing_outside_slots(const View& view, Complaints& complaints);  // 26
void huge_pages_disallowed(const View& view, Complaints& complaints);  // 28
void huge_pages_in_slots(const View& view, Complaints& complaints);    // 29
void tables_tracked(const View& view, Complaints& complaints);         // 34

// invariants_steps.cpp: what one command may change.
using StepCheck = void(const View& before, const View& after, Complaints& complaints);
StepCheck capacities_kept;        // 1
StepCheck reclaim_oldest_first;   // 4
StepCheck obsolete_pages_shrink;  // 24
StepCheck generations_grow;       // 25
StepCheck splits_preserve;        // 33

/// "0x4012[7]".
std::string print(const ViewPlace& place);
/// The entry at the place; null where no page or no such entry is.
const ViewEntry* find_entry(const View& view, const ViewPlace& place);
/// The slot of the address space that has the gfn; null if none does.
const ViewSlot* find_slot(const View& view, unsigned address_space, Gfn gfn);
/// Call function(page, entry) for each leaf of the view.
template <typename Function>
void each_leaf(const View& view, Function&& function) {
  for (const auto& [table, page] : view.pages) {
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind == ViewEntry::Kind::leaf) function(page, entry);
    }
  }
}
/// The page shadows a table of the guest (sp_has_gptes()).
bool shadows_table(const ViewPage& page);
/// 4 KiB pages that an entry of this level maps, as a power of two.
constexpr unsigned level_shift(unsigned level) { return (level - 1) * 9; }
/// First gfn of the page of that level that has the gfn.
constexpr Gfn first_of(Gfn gfn, unsigned level) {
  return gfn >> level_shift(level) << level_shift(level);
}

}  // namespace lockstep::spec::checks
