// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/invariants.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "spec/kvm/invariant_checks.h"

namespace lockstep::spec {
namespace {

void pages_summed(const View& view, Complaints& complaints) {
  const ViewCounters& counters = view.counters;
  // A view is of one VM, and an image has no other.
  if (counters.used_pages_everywhere && *counters.used_pages_everywhere != counters.used_pages) {
    complaints.add(fmt::format("the shrinker counts {} shadow pages, the VM {}",
                               *counters.used_pages_everywhere, counters.used_pages));
  }
}

void pages_counted(const View& view, Complaints& complaints) {
  const auto live = static_cast<std::uint64_t>(
      std::ranges::count_if(view.pages, [](const auto& page) { return !page.second.tdp_mmu; }));
  if (live != view.counters.used_pages) {
    complaints.add(fmt::format("n_used_mmu_pages is {}, {} shadow pages are alive",
                               view.counters.used_pages, live));
  }
}

void huge_splits_counted(const View& view, Complaints& complaints) {
  for (const auto& [table, page] : view.pages) {
    // Zapped with the next request; the mitigation may have come later.
    if (!view.nx_huge_pages || page.obsolete) continue;
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind == ViewEntry::Kind::leaf && page.role.level > 1 && entry.executable) {
        complaints.add(fmt::format("huge leaf at {} is executable under kvm.nx_huge_pages",
                                   checks::print({table, entry.index})));
      }
    }
  }
  if (view.recoverable.size() != view.counters.nx_splits) {
    complaints.add(fmt::format("nx_lpage_splits is {}, the list has {} pages",
                               view.counters.nx_splits, view.recoverable.size()));
  }
  for (const Hfn table : view.recoverable) {
    const auto page = view.pages.find(table);
    if (page == view.pages.end()) {
      complaints.add(fmt::format("NX recovery may zap {:#x}, which is no shadow page", table));
    } else if (!page->second.no_huge) {
      complaints.add(fmt::format("NX recovery may zap {:#x}, which forbids no huge page", table));
    }
  }
}

void leaves_counted(const View& view, Complaints& complaints) {
  std::array<std::uint64_t, 3> leaves{};
  for (const auto& [table, page] : view.pages) {
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind != ViewEntry::Kind::leaf) continue;
      if (page.role.level == 0 || page.role.level > leaves.size()) {
        complaints.add(fmt::format("leaf at {}, level {}", checks::print({table, entry.index}),
                                   page.role.level));
      } else {
        ++leaves[page.role.level - 1];
      }
    }
  }
  constexpr std::array<std::string_view, 3> names = {"pages_4k", "pages_2m", "pages_1g"};
  for (std::size_t size = 0; size < leaves.size(); ++size) {
    if (leaves[size] == view.counters.leaves[size]) continue;
    complaints.add(fmt::format("{} is {}, {} leaves are present", names[size],
                               view.counters.leaves[size], leaves[size]));
  }
}

constexpr std::array table = {
    Invariant{3, "the shrinker's counter is the sum of every VM's", "kvm_mod_used_mmu_pages",
              pages_summed},
    Invariant{9, "one valid page for a gfn and role", "kvm_mmu_find_shadow_page",
              checks::one_page_a_role},
    Invariant{10, "a link's child has the gfn and role that the link needs",
              "kvm_mmu_get_child_sp, kvm_mmu_child_role", checks::children_fit},
    Invariant{14, "mmu_unsync is the number of unsync pages", "kvm_unlink_unsync_page",
              checks::unsync_pages_counted},
    Invariant{15, "an invalid page is not active, and nobody's new child",
              "kvm_zap_obsolete_pages, kvm_mmu_child_role", checks::active_pages_valid},
    Invariant{16, "active pages of the current generation come first", "kvm_mmu_alloc_shadow_page",
              checks::active_pages_sorted},
    Invariant{19, "a leaf is in the rmap of its gfn and level, and nothing else is",
              "__rmap_add, rmap_remove", checks::rmaps_exact},
    Invariant{20, "a page's parents are the entries that link to it",
              "__link_shadow_page, drop_parent_pte", checks::parents_exact},
    Invariant{22, "root_count is the number of roots in use or cached", "mmu_free_root_page",
              checks::roots_counted},
    Invariant{23,
              "a vCPU keeps no obsolete root, current or previous, without a request to drop it",
              "kvm_mmu_free_obsolete_roots", checks::no_obsolete_roots},
    Invariant{25, "slots are disjoint, generations distinct", "kvm_swap_active_memslots",
              checks::slots_disjoint},
    Invariant{26, "nothing is mapped or shadowed outside every slot",
              "kvm_arch_flush_shadow_memslot", checks::nothing_outside_slots},
    Invariant{28, "huge pages are disallowed for slot edges and shadowed tables",
              "update_gfn_disallow_lpage_count", checks::huge_pages_disallowed},
    Invariant{29, "a huge leaf lies in its slot", "kvm_mmu_hugepage_adjust",
              checks::huge_pages_in_slots},
    Invariant{34, "upper tables that are shadowed are write-tracked", "account_shadowed",
              checks::tables_tracked},
    Invariant{38, "nx_lpage_splits is the length of its list, no huge page is executable with it",
              "account_huge_nx_page, track_possible_nx_huge_page, make_spte", huge_splits_counted},
    Invariant{39, "page statistics are the present leaves", "kvm_update_page_stats",
              leaves_counted},
    Invariant{40, "n_used_mmu_pages is the number of live pages", "kvm_account_mmu_page",
              pages_counted},
};

}  // namespace

void Complaints::add(std::string text) {
  if (found_.size() == most) {
    ++more_;
  } else {
    found_.push_back({invariant_, std::move(text)});
  }
}

std::vector<Violation> Complaints::take() {
  if (more_ != 0) found_.back().text += fmt::format("; and {} more", more_);
  return std::move(found_);
}

std::span<const Invariant> invariants() { return table; }

std::vector<Violation> violations(const View& view) {
  std::vector<Violation> all;
  for (const Invariant& invariant : table) {
    Complaints complaints(invariant.number);
    invariant.check(view, complaints);
    for (Violation& violation : complaints.take()) all.push_back(std::move(violation));
  }
  return all;
}

std::string print(const Violation& violation) {
  return fmt::format("invariant {}: {}", violation.invariant, violation.text);
}

}  // namespace lockstep::spec
