// SPDX-License-Identifier: GPL-2.0-or-later
/// The list of invariants: what each says, who keeps it, and what it means when
/// it does not hold.
#include <array>

#include "spec/kvm/invariant_checks.h"

namespace lockstep::spec {
namespace {

constexpr std::string_view always = "every kernel from 6.1 to 7.2, and impl";
constexpr std::string_view shadow = "every kernel from 6.1 to 7.2, and impl; shadow pages alone";
constexpr std::string_view tdp_mmu = "every kernel from 6.1 to 7.2, and impl; the TDP MMU alone";

constexpr std::string_view stepwise =
    "every kernel from 6.1 to 7.2, and impl; in programs that are looked at after each command";

constexpr std::array table = {
    Invariant{.number = 1,
              .title = "a cache holds at most its capacity, which is fixed until it is freed",
              .source = "__kvm_mmu_topup_memory_cache",
              .kernels = always,
              .failure = "filling the cache writes past its end",
              .check = checks::caches_bounded,
              .check_step = checks::capacities_kept},
    Invariant{.number = 3,
              .title = "the shrinker's counter is the sum of every VM's",
              .source = "kvm_mod_used_mmu_pages",
              .kernels = "6.1 to 6.12: fe140e611d34 removed the shrinker and its counter",
              .failure =
                  "the shrinker frees too little, or is called for pages that are not there; "
                  "a counter that fell below zero hides every later page",
              .check = checks::pages_summed},
    Invariant{.number = 4,
              .title = "reclaim skips roots in use and takes the oldest pages first",
              .source = "kvm_mmu_zap_oldest_mmu_pages",
              .kernels = stepwise,
              .failure = "vCPUs load roots again and again while old pages stay",
              .check_step = checks::reclaim_oldest_first},
    Invariant{.number = 9,
              .title = "one valid page for a gfn and role",
              .source = "kvm_mmu_find_shadow_page",
              .kernels = always,
              .failure =
                  "a guest's store to its table updates one page and leaves the other, through "
                  "which a stale mapping stays in use",
              .check = checks::one_page_a_role},
    Invariant{.number = 10,
              .title = "a link's child has the gfn and role that the link needs",
              .source = "kvm_mmu_get_child_sp, kvm_mmu_child_role",
              .kernels = always,
              .failure =
                  "the guest walks into a table made for other rights, another half of a table "
                  "of 4-byte entries or another range (CVE-2021-38198)",
              .check = checks::children_fit},
    Invariant{.number = 11,
              .title = "a leaf grants no more than its page's role, its slot and the host",
              .source = "make_spte, FNAME(page_fault)",
              .kernels = always,
              .failure = "the guest writes, or its users reach, what its own tables or a read-only "
                         "slot forbid",
              .check = checks::rights_granted},
    Invariant{.number = 12,
              .title = "a shadowed table is write-protected, or a page of level 1 that is unsync",
              .source = "mmu_try_to_unsync_pages, account_shadowed",
              .kernels = shadow,
              .failure = "the guest rewrites a table and KVM does not see it: stale mappings past "
                         "every flush",
              .check = checks::tables_protected},
    Invariant{
        .number = 14,
        .title = "mmu_unsync is the number of unsync pages, and who is above one has it marked",
        .source = "mark_unsync, kvm_unlink_unsync_page",
        .kernels = shadow,
        .failure = "a guest's flush misses an unsync page and its stale mapping stays",
        .check = checks::unsync_pages_counted},
    Invariant{.number = 15,
              .title = "an invalid page is not active, and nobody's new child",
              .source = "kvm_zap_obsolete_pages, kvm_mmu_child_role",
              .kernels = always,
              .failure = "a page is zapped twice, or is used after it was freed",
              .check = checks::active_pages_valid},
    Invariant{
        .number = 16,
        .title = "active pages of the current generation come first",
        .source = "kvm_mmu_alloc_shadow_page",
        .kernels = shadow,
        .failure = "a fast zap stops at the first new page and leaves obsolete ones behind it",
        .check = checks::active_pages_sorted},
    Invariant{
        .number = 18,
        .title = "the active root has every bit of the role that the vCPU's registers ask for",
        .source = "kvm_calc_cpu_role, kvm_init_mmu",
        .kernels = always,
        .failure = "a vCPU goes on with mappings made for other control bits "
                   "(b8453cdcf260, 411c588dfb86)",
        .check = checks::roots_fit},
    Invariant{.number = 19,
              .title = "a leaf is in the rmap of its gfn and level, and nothing else is",
              .source = "__rmap_add, rmap_remove",
              .kernels = shadow,
              .failure =
                  "dirty logging, write protection and MMU notifiers miss a mapping, or write "
                  "through a pointer into a page that is gone",
              .check = checks::rmaps_exact},
    Invariant{.number = 20,
              .title = "a page's parents are the entries that link to it",
              .source = "__link_shadow_page, drop_parent_pte",
              .kernels = always,
              .failure = "a zapped page stays linked: hardware walks freed memory",
              .check = checks::parents_exact},
    Invariant{.number = 21,
              .title = "an rmap has at most 1000 entries",
              .source = "__rmap_add, RMAP_RECYCLE_THRESHOLD",
              .kernels = shadow,
              .failure = "walks of one gfn's mappings take as long as a guest likes, with mmu_lock "
                         "held",
              .check = checks::rmaps_short},
    Invariant{.number = 22,
              .title = "root_count is the number of roots in use or cached",
              .source = "mmu_free_root_page",
              .kernels = always,
              .failure = "a root is freed while a vCPU runs on it, or never",
              .check = checks::roots_counted},
    Invariant{.number = 23,
              .title = "a vCPU keeps no obsolete root, current or previous, without a request to "
                       "drop it",
              .source = "kvm_mmu_free_obsolete_roots",
              .kernels = always,
              .failure = "a vCPU goes on, or comes back, to mappings of slots that are gone "
                         "(527d5cd7eece, mended by cf4a8693d97a)",
              .check = checks::no_obsolete_roots},
    Invariant{.number = 24,
              .title = "nothing is installed below a page that is obsolete",
              .source = "is_page_fault_stale",
              .kernels = stepwise,
              .failure = "a mapping of a slot that is gone comes into being after the zap that was "
                         "to end them",
              .check_step = checks::obsolete_pages_shrink},
    Invariant{.number = 25,
              .title = "slots are disjoint, generations distinct, and they grow with each change",
              .source = "kvm_swap_active_memslots",
              .kernels = always,
              .failure = "two slots answer for one gfn; MMIO entries of one address space are "
                         "believed in the other",
              .check = checks::slots_disjoint,
              .check_step = checks::generations_grow},
    Invariant{.number = 26,
              .title = "nothing is mapped or shadowed outside every slot",
              .source = "kvm_arch_flush_shadow_memslot",
              .kernels = always,
              .failure = "the guest reaches memory of a slot that was deleted or moved "
                         "(CVE-2013-4592), and teardown looks for a slot that is not there "
                         "(fcd1ec9cb59c)",
              .check = checks::nothing_outside_slots},
    Invariant{.number = 27,
              .title = "no MMIO entry of the present generation is for a gfn with a slot",
              .source = "check_mmio_spte, kvm_mmu_invalidate_mmio_sptes",
              .kernels =
                  "every kernel from 6.1 to 7.2, and impl; direct pages: in others KVM renews "
                  "generations, see the looseness mmio-refreshed",
              .failure = "the guest's memory stays MMIO after its slot was made",
              .check = checks::mmio_without_slot},
    Invariant{.number = 28,
              .title = "huge pages are disallowed for slot edges and shadowed tables",
              .source = "update_gfn_disallow_lpage_count",
              .kernels = always,
              .failure = "a huge page reaches past its slot or makes a shadowed table writable; a "
                         "count that stays costs huge pages for ever",
              .check = checks::huge_pages_disallowed},
    Invariant{.number = 29,
              .title = "a huge leaf lies in its slot, and in a mapping of the host as large",
              .source = "kvm_mmu_hugepage_adjust",
              .kernels = always,
              .failure = "the guest reaches host memory beside its slot",
              .check = checks::huge_pages_in_slots},
    Invariant{.number = 31,
              .title = "what a logged slot has clean, no leaf maps writable",
              .source = "kvm_get_dirty_log_protect, kvm_arch_mmu_enable_log_dirty_pt_masked",
              .kernels =
                  "every kernel from 6.1 to 7.2, and impl; with dirty bits, no small leaf that is "
                  "dirty",
              .failure = "a write is in no dirty log: migration loses it",
              .check = checks::writes_logged},
    Invariant{.number = 33,
              .title = "a huge leaf that is split maps what it mapped, and gains no write access",
              .source = "make_huge_page_split_spte",
              .kernels = stepwise,
              .failure = "the guest reads other pages than its own, or writes where it must not",
              .check_step = checks::splits_preserve},
    Invariant{.number = 34,
              .title = "upper tables that are shadowed are write-tracked",
              .source = "account_shadowed",
              .kernels = shadow,
              .failure = "a table becomes writable while it is followed, or stays slow for ever",
              .check = checks::tables_tracked},
    Invariant{.number = 35,
              .title = "writable implies MMU-writable implies host-writable, and no shadowed table "
                       "is MMU-writable",
              .source = "check_spte_writable_invariants, fast_page_fault",
              .kernels = always,
              .failure = "a fast page fault gives back write access that tracking or the host took "
                         "(7c8a4742c4ab)",
              .check = checks::write_bits_agree},
    Invariant{.number = 36,
              .title = "no entry of the TDP MMU is frozen between steps",
              .source = "tdp_mmu_set_spte_atomic, handle_removed_pt",
              .kernels = tdp_mmu,
              .failure = "faults on the entry are retried for ever",
              .check = checks::nothing_frozen},
    Invariant{.number = 37,
              .title = "an invalidated root of the TDP MMU maps nothing",
              .source = "kvm_tdp_mmu_zap_invalidated_roots",
              .kernels = tdp_mmu,
              .failure = "pages of a slot that is gone stay mapped and referenced (524a1e4e381f)",
              .check = checks::invalid_roots_empty},
    Invariant{.number = 38,
              .title = "nx_lpage_splits is the length of its list, no huge page is executable with "
                       "it",
              .source = "account_huge_nx_page, track_possible_nx_huge_page, make_spte",
              .kernels = always,
              .failure = "the machine check that CVE-2018-12207 lets a guest cause, or pages that "
                         "recovery never finds",
              .check = checks::huge_splits_counted},
    Invariant{.number = 39,
              .title = "page statistics are the present leaves",
              .source = "kvm_update_page_stats",
              .kernels = always,
              .failure = "pages_4k, pages_2m and pages_1g lie; what is left at the end was leaked",
              .check = checks::leaves_counted},
    Invariant{.number = 40,
              .title = "n_used_mmu_pages is the number of live pages",
              .source = "kvm_account_mmu_page",
              .kernels = always,
              .failure = "the limit of KVM_SET_NR_MMU_PAGES is passed, or reclaim never ends",
              .check = checks::pages_counted},
    Invariant{.number = 42,
              .title = "a leaf maps the page that the host has there now, and no change goes on",
              .source = "mmu_invalidate_retry_hva, kvm_unmap_gfn_range, "
                        "kvm_mmu_invalidate_end",
              .kernels = always,
              .failure = "the guest goes on in a page that the host has given to somebody else",
              .check = checks::host_pages_current},
};

constexpr std::array absent = {
    AbsentInvariant{2, "a cache that was filled has its minimum until the fault ends",
                    "mmu_topup_memory_caches",
                    "it holds inside a fault; in impl an empty cache is an error that the caller "
                    "must handle, the kernel's own WARN tells of it in hosted ones"},
    AbsentInvariant{5, "pages are prepared for zapping with mmu_lock held for writing",
                    "__kvm_mmu_prepare_zap_page",
                    "it holds inside a step; lockdep of the hosted kernels sees it, in impl the "
                    "lock's guard is the only way to the pages"},
    AbsentInvariant{6, "slots_lock before slots_arch_lock, which spans allocation and swap",
                    "kvm_swap_active_memslots",
                    "it holds inside a step; lockdep of the hosted kernels sees it"},
    AbsentInvariant{7, "no allocation that may sleep with mmu_lock held",
                    "shadow_mmu_try_split_huge_page",
                    "it holds inside a step; hosted kernels check might_sleep()"},
    AbsentInvariant{
        8, "no walker without lock reaches a freed page", "kvm_mmu_commit_zap_page",
        "it needs two threads: hosted kernels under schedules (run --property schedules "
        "--engines hosted:6.1), where each access to freed memory is a finding"},
    AbsentInvariant{13, "an unsync page is synchronized before a flushed entry may be used",
                    "kvm_mmu_sync_roots, FNAME(invlpg)",
                    "what a guest may still see is the model's to say, with every access"},
    AbsentInvariant{17, "a present entry is dropped, rmap and flush, before it is overwritten",
                    "mmu_set_spte", "it is about a step; 19 and 39 see what it leaves"},
    AbsentInvariant{30, "a write that completed is in the next dirty log",
                    "mark_page_dirty_in_slot", "the model compares every log with every write"},
    AbsentInvariant{32, "each dirty page that was not written has a named cause", "make_spte",
                    "the model compares every log; see the looseness dirty-without-write"},
    AbsentInvariant{
        41, "less rights, then a flush before mmu_lock is dropped", "kvm_flush_remote_tlbs",
        "a view has no TLB; hosted kernels' software processors compare each use under TDP with "
        "the nested tables (Stale in spec/cpu/processor.h), and with each view all that their "
        "TLBs hold, under shadow paging too (SoftwareCpu::overdue()), and name this number"},
};

}  // namespace

std::span<const Invariant> invariants() { return table; }
std::span<const AbsentInvariant> absent_invariants() { return absent; }

}  // namespace lockstep::spec
