// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/refinement/theorems.h"

#include <string>

#include "smt/refinement/guest_commands.h"
#include "smt/refinement/host_commands.h"
#include "smt/refinement/machine_invariants.h"
#include "smt/refinement/slot_commands.h"

namespace lockstep::smt {
namespace {

using namespace refinement;

template <typename P>
using Command = Outcome<P> (*)(Machine<P>&, bool);

/// Before: the template's widths and the invariants. After: the invariants, and an
/// answer that the model admits.
template <typename P>
FormulaOf<P> refines(Command<P> command, PagingMode mode, Side side) {
  Machine<P> machine = any_machine<P>(mode);
  const auto good = well_formed(machine);
  const auto before = invariants(machine);
  const auto start = machine;
  const auto outcome = command(machine, side == Side::broken_rule);
  const auto after = invariants(machine);
  FormulaOf<P> formula;
  formula.precondition = good && before.all() && outcome.fits;
  formula.claim = outcome.claim && after.all();
  formula.shown = {{"the answer is admitted", outcome.claim},
                   {"SPTEs follow the guest", after.sptes_follow_guest},
                   {"SPTEs grant no more", after.sptes_grant_no_more},
                   {"writes are seen", after.writes_are_seen},
                   {"MMIO entries are true", after.mmio_entries_true},
                   {"links follow the guest", after.links_follow_guest},
                   {"TLBs are covered", after.tlbs_covered},
                   {"what was written is reported", after.written_is_reported}};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string page = "page" + std::to_string(i);
    formula.shown.emplace_back(page + " guest entry, before", start.pages[i].guest);
    formula.shown.emplace_back(page + " SPTE, before", start.pages[i].spte);
    formula.shown.emplace_back(page + " SPTE, after", machine.pages[i].spte);
  }
  return formula;
}

struct Row {
  const char* name;
  const char* statement;
  const char* source;
  const char* twin;
  const char* direct_twin;  ///< null: no command where nothing is shadowed
  Command<Symbolic> terms;
  Command<Concrete> numbers;
  const char* quartered_twin = nullptr;  ///< of 32-bit and PAE paging, where it is another
};

const Row rows[] = {
    {"access-read", "a read", "FNAME(page_fault)(), SDM Access Rights",
     "maps a clean entry with write access", "ignores the host's write protection",
     access<Symbolic, AccessKind::read>, access<Concrete, AccessKind::read>},
    {"access-write", "a write", "FNAME(page_fault)(), make_spte(), mmu_try_to_unsync_pages()",
     "leaves a page that CR0.WP=0 made writable to the user",
     "gives write access back without the log", access<Symbolic, AccessKind::write>,
     access<Concrete, AccessKind::write>},
    {"access-fetch", "a fetch", "FNAME(page_fault)(), SDM Access Rights", "walks without SMEP",
     "maps a tracked page with write access", access<Symbolic, AccessKind::fetch>,
     access<Concrete, AccessKind::fetch>},
    {"invlpg", "INVLPG", "FNAME(invlpg)", "keeps the SPTE of a page that lags behind", nullptr,
     invlpg<Symbolic>, invlpg<Concrete>},
    {"load-cr3", "MOV to CR3 of the value that it has", "kvm_mmu_sync_roots()",
     "synchronizes without write protection of the table", nullptr, load_cr3<Symbolic>,
     load_cr3<Concrete>, "keeps the root"},
    {"set-cr3", "MOV to CR3 of another value, whose root is there or not",
     "mmu_alloc_shadow_roots(), kvm_mmu_sync_roots()", "synchronizes nothing", nullptr,
     set_cr3<Symbolic>, set_cr3<Concrete>, "keeps the root"},
    {"invpcid", "INVPCID", "kvm_handle_invpcid()", "synchronizes nothing", nullptr,
     invpcid<Symbolic>, invpcid<Concrete>},
    {"translate", "KVM_TRANSLATE", "kvm_mmu_gva_to_gpa_system()",
     "shows the page of an entry that denies the read", nullptr, translate<Symbolic>,
     translate<Concrete>},
    {"set-registers", "new values of CR0.WP, SMEP, SMAP, NX, PSE", "kvm_mmu_reset_context()",
     "keeps the root", nullptr, set_registers<Symbolic>, set_registers<Concrete>},
    {"slot-delete", "deleting a slot without KVM_X86_QUIRK_SLOT_ZAP_ALL",
     "kvm_mmu_zap_memslot_pages_and_flush(), kvm_unmap_gfn_range(), since 6.12",
     "keeps pages that shadow tables in the slot", "unmaps nothing", delete_slot<Symbolic>,
     delete_slot<Concrete>},
    {"slot-zap-all", "deleting a slot as 6.1 does, and later kernels unless told otherwise",
     "kvm_mmu_zap_all_fast(), in newer trees in two halves", "zaps nothing", "zaps nothing",
     delete_slot_zap_all<Symbolic>, delete_slot_zap_all<Concrete>},
    {"slot-move", "moving a slot, with the quirk or without it",
     "kvm_invalidate_memslot(), kvm_move_memslot()", "zaps nothing", "zaps nothing",
     move_slot<Symbolic>, move_slot<Concrete>},
    {"slot-create", "creating a slot", "kvm_mmu_invalidate_mmio_sptes()", "keeps the generation",
     "keeps the generation", create_slot<Symbolic>, create_slot<Concrete>},
    {"slot-flags", "starting or ending the dirty log", "kvm_mmu_slot_apply_flags()",
     "starts without write protection", "starts without write protection", set_flags<Symbolic>,
     set_flags<Concrete>},
    {"dirty-get", "reading and clearing the dirty log", "kvm_get_dirty_log_protect()",
     "does not flush", "does not flush", get_dirty_log<Symbolic>, get_dirty_log<Concrete>},
    {"dirty-clear", "clearing parts of the dirty log", "kvm_clear_dirty_log_protect()",
     "clears without write protection", "clears without write protection",
     clear_dirty_log<Symbolic>, clear_dirty_log<Concrete>},
    {"ring-collect", "reading and resetting the dirty ring", "kvm_dirty_ring_reset()",
     "resets without write protection", "resets without write protection", collect_ring<Symbolic>,
     collect_ring<Concrete>},
    {"host-migrate", "a host page that moves, is split, collapsed or discarded",
     "kvm_unmap_gfn_range()", "unmaps nothing", "unmaps nothing", host_migrate<Symbolic>,
     host_migrate<Concrete>},
    {"host-protect", "a host page that becomes read-only or writable", "kvm_unmap_gfn_range()",
     "unmaps nothing", "unmaps nothing", host_protect<Symbolic>, host_protect<Concrete>},
    {"host-age", "ageing", "kvm_age_gfn()", "clears the dirty bit, too",
     "clears the dirty bit, too", host_age<Symbolic>, host_age<Concrete>},
    {"track", "following the writes to a page",
     "kvm_slot_page_track_add_page(), since 6.12 __kvm_write_track_add_gfn()",
     "lets a fault give write access back", "lets a fault give write access back", track<Symbolic>,
     track<Concrete>},
    {"reclaim", "reclaiming a shadow page, for the limit, the shrinker or NX recovery",
     "kvm_mmu_zap_oldest_mmu_pages(), 6.1 kvm_recover_nx_lpages()", "does not flush",
     "does not flush", reclaim<Symbolic>, reclaim<Concrete>},
};

Theorem theorem_of(const Row& row, PagingMode mode, const std::string& suffix) {
  Theorem theorem;
  theorem.name = std::string("refines-") + row.name + "-" + suffix;
  theorem.subject = "refinement";
  theorem.statement = std::string(
                          "from every well-formed state of the template machine that meets the "
                          "invariants, one step, ") +
                      row.statement + ", shows what the model admits and keeps the invariants";
  theorem.source = row.source;
  theorem.kernels =
      "6.1, 6.12: 19-bit generation; MAXPHYADDR 32 to 51; 2 slots, 2 vCPUs, 4 gfns, 2 shadow "
      "pages, one index of each table, no large pages";
  const bool other = quartered(mode) && row.quartered_twin != nullptr;
  theorem.twin = mode == PagingMode::none ? row.direct_twin : other ? row.quartered_twin : row.twin;
  theorem.scenario = true;  // jobs/refinement_programs.h
  theorem.bound = 1;
  theorem.body = FormulaBody{
      [command = row.terms, mode](Side side) { return refines<Symbolic>(command, mode, side); },
      [command = row.numbers, mode](Side side) { return refines<Concrete>(command, mode, side); }};
  return theorem;
}

}  // namespace

const std::vector<Theorem>& refinement_theorems() {
  static const std::vector<Theorem> all = [] {
    std::vector<Theorem> made;
    for (const auto& row : rows) {
      made.push_back(theorem_of(row, PagingMode::level5, "5-level"));
      made.push_back(theorem_of(row, PagingMode::level4, "4-level"));
      made.push_back(theorem_of(row, PagingMode::pae, "pae"));
      made.push_back(theorem_of(row, PagingMode::bits32, "32-bit"));
      if (row.direct_twin != nullptr) made.push_back(theorem_of(row, PagingMode::none, "tdp"));
    }
    return made;
  }();
  return all;
}

}  // namespace lockstep::smt
