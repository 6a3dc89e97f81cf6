// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/known_races.h"

#include <algorithm>
#include <array>

namespace lockstep::hw::hosted {
namespace {

using Functions = std::span<const std::string_view>;

constexpr std::array<std::string_view, 1> swap = {"kvm_swap_active_memslots"};
constexpr std::array<std::string_view, 8> read_generation = {
    "kvm_vcpu_gfn_to_memslot", "mmio_info_in_cache",     "make_mmio_spte",
    "vcpu_is_mmio_gpa",        "kvm_mmu_page_fault",     "emulator_read_write_onepage",
    "handle_abnormal_pfn",     "kvm_handle_noslot_fault"};

constexpr std::array<std::string_view, 6> invalidation = {"kvm_mmu_notifier_invalidate_range_start",
                                                          "kvm_mmu_notifier_invalidate_range_end",
                                                          "kvm_mmu_invalidate_begin",
                                                          "kvm_mmu_invalidate_start",
                                                          "kvm_mmu_invalidate_range_add",
                                                          "kvm_mmu_invalidate_end"};
constexpr std::array<std::string_view, 3> look_without_lock = {
    "kvm_faultin_pfn", "kvm_mmu_faultin_pfn", "kvm_mmu_notifier_invalidate_range_end"};

constexpr std::array<std::string_view, 3> flush = {
    "kvm_flush_remote_tlbs", "kvm_flush_remote_tlbs_memslot", "kvm_flush_remote_tlbs_range"};
// Two of the notifiers among themselves flush under mmu_lock.
constexpr std::array<std::string_view, 5> count_flushes = {
    "kvm_flush_remote_tlbs", "kvm_flush_remote_tlbs_memslot", "kvm_flush_remote_tlbs_range",
    "kvm_mmu_notifier_clear_flush_young", "kvm_mmu_notifier_invalidate_range_start"};

constexpr std::array<std::string_view, 2> invalidate_roots = {"kvm_tdp_mmu_invalidate_all_roots",
                                                              "kvm_tdp_mmu_invalidate_roots"};
constexpr std::array<std::string_view, 1> begin_walk = {"tdp_iter_start"};

constexpr std::array<std::string_view, 4> count_splits = {
    "account_huge_nx_page", "unaccount_huge_nx_page", "track_possible_nx_huge_page",
    "untrack_possible_nx_huge_page"};
constexpr std::array<std::string_view, 2> recovery = {"kvm_nx_lpage_recovery_worker",
                                                      "kvm_nx_huge_page_recovery_worker"};

constexpr std::array<std::string_view, 1> adjust = {"disallowed_hugepage_adjust"};
constexpr std::array<std::string_view, 1> unlink = {"__handle_changed_spte"};
constexpr std::array<std::string_view, 2> clear_disallowed = {"__handle_changed_spte",
                                                              "kvm_nx_huge_page_recovery_worker"};

constexpr std::array<std::string_view, 1> sync_roots = {"kvm_mmu_sync_roots"};
constexpr std::array<std::string_view, 3> mark_unsync = {"mark_unsync", "mmu_sync_children",
                                                         "mmu_zap_unsync_children"};

constexpr std::array<std::string_view, 2> zap_fast = {"kvm_mmu_zap_all_fast",
                                                      "__kvm_mmu_zap_all_fast_front_half"};
constexpr std::array<std::string_view, 1> free_obsolete = {"__kvm_mmu_free_obsolete_roots"};

constexpr std::array<std::string_view, 1> prepare_zap = {"__kvm_mmu_prepare_zap_page"};
constexpr std::array<std::string_view, 2> fast_fault = {"fast_page_fault", "direct_page_fault"};

constexpr std::array<KnownRace, 10> all = {{
    {swap, read_generation,
     "kvm_swap_active_memslots() ends an update by one store to the generation of slots that "
     "readers of SRCU see: either value is right for them, and an MMIO entry made with the bit "
     "of an update in progress hits nothing"},
    {invalidation, look_without_lock,
     "the counts of MMU notifiers are looked at before mmu_lock is taken, where a fault only "
     "spares work, and by a BUG_ON() behind its release: each fault looks again under the lock"},
    {flush, count_flushes, "a statistic: two flushes may count as one"},
    {invalidate_roots, begin_walk,
     "role.invalid of a root is set while walks without that lock read its level from the same "
     "word: the level does not change"},
    {count_splits, recovery,
     "the worker takes the number of split huge pages, to choose how many it recovers, without "
     "mmu_lock"},
    {adjust, clear_disallowed,
     "a fault that still sees nx_huge_page_disallowed of a table that goes maps small pages "
     "where a huge one could be: the translation is the same"},
    {unlink, recovery,
     "who removes a table asks without tdp_mmu_pages_lock whether it held back a huge page: "
     "whether it is on the list is asked again under the lock"},
    {sync_roots, mark_unsync,
     "kvm_mmu_sync_roots() looks at unsync and at the count of unsync children without mmu_lock, "
     "behind a barrier: a page that becomes unsync later needs no synchronization by this CPU"},
    {zap_fast, free_obsolete,
     "a vCPU compares its roots' generation without mmu_lock: the request that follows has it "
     "compare again"},
    {prepare_zap, fast_fault,
     "a fast page fault reads a shadow page's role without mmu_lock while role.invalid is set: "
     "what it changes is the entry, by a compare-and-exchange that fails once that is zapped"},
}};

std::string_view function_of(std::string_view symbol) {
  return symbol.substr(0, symbol.find_first_of("+."));
}

bool has(Functions functions, std::string_view function) {
  return std::ranges::find(functions, function) != functions.end();
}

}  // namespace

std::span<const KnownRace> known_races() { return all; }

const KnownRace* known_race(std::string_view one, std::string_view other) {
  const std::string_view here = function_of(one);
  const std::string_view there = function_of(other);
  for (const KnownRace& race : all) {
    if ((has(race.one, here) && has(race.other, there)) ||
        (has(race.one, there) && has(race.other, here))) {
      return &race;
    }
  }
  return nullptr;
}

}  // namespace lockstep::hw::hosted
