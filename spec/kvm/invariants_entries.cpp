// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <set>
#include <utility>

#include "spec/kvm/invariant_checks.h"

namespace lockstep::spec::checks {
namespace {

using Kind = ViewEntry::Kind;

/// Flag of a memslot: KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY.
constexpr unsigned slot_logs = 1;
constexpr unsigned slot_read_only = 2;

using SpaceAndGfn = std::pair<unsigned, Gfn>;

/// Tables of the guest that no leaf may map writable: those that some page of
/// this generation shadows and follows store by store.
std::set<SpaceAndGfn> followed_tables(const View& view) {
  std::set<SpaceAndGfn> tables;
  for (const auto& [table, page] : view.pages) {
    if (page.obsolete || page.unsync || page.tdp_mmu || !shadows_table(page)) continue;
    tables.emplace(page.role.smm, page.gfn);
  }
  return tables;
}

/// Call function(leaf's page, leaf, gfn of the table) for each leaf that maps one
/// of the tables.
template <typename Function>
void each_leaf_of(const View& view, const std::set<SpaceAndGfn>& tables, Function&& function) {
  each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    const unsigned level = page.role.level;
    const Gfn first = first_of(leaf.gfn, level);
    const auto found = tables.lower_bound({page.role.smm, first});
    if (found == tables.end() || found->first != page.role.smm) return;
    if (found->second - first < 1ull << level_shift(level)) function(page, leaf, found->second);
  });
}

}  // namespace

void rights_granted(const View& view, Complaints& complaints) {
  each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    const auto lacks = [&](std::uint64_t bit) { return bit != 0 && (page.role.access & bit) == 0; };
    const auto complain = [&](std::string_view what) {
      complaints.add(fmt::format("leaf {} maps gfn {:#x} {}",
                                 print(ViewPlace{page.table, leaf.index}), leaf.gfn, what));
    };
    // A supervisor's write with CR0.WP clear gains W and loses U, in the entries
    // of an indirect page alone: the role of a direct one has it already.
    const bool exchanges = !page.role.direct && !page.role.cr0_wp;
    if (leaf.writable && !exchanges && lacks(view.masks.access_writable)) {
      complain("writable, in a page whose role is not");
    }
    if (leaf.user && lacks(view.masks.access_user)) complain("for users, in a page that is not");
    if (leaf.executable && lacks(view.masks.access_executable)) {
      complain("executable, in a page whose role is not");
    }
    const ViewSlot* const slot = find_slot(view, page.role.smm, leaf.gfn);
    if (leaf.writable && slot != nullptr && (slot->flags & slot_read_only) != 0) {
      complain(fmt::format("writable, and slot {} is read-only", slot->id));
    }
    if (leaf.writable && leaf.host && !leaf.host->writable) {
      complain("writable, and the host's page is not");
    }
  });
}

void tables_protected(const View& view, Complaints& complaints) {
  const std::set<SpaceAndGfn> tables = followed_tables(view);
  each_leaf_of(view, tables, [&](const ViewPage& page, const ViewEntry& leaf, Gfn table) {
    if (!leaf.writable) return;
    complaints.add(fmt::format("leaf {} maps the shadowed table at gfn {:#x} writable",
                               print(ViewPlace{page.table, leaf.index}), table));
  });
  // A table of an upper level is never unsync, so what else shadows it is not.
  std::set<SpaceAndGfn> upper;
  for (const auto& [table, page] : view.pages) {
    if (page.obsolete || page.tdp_mmu || !shadows_table(page) || page.role.level == 1) continue;
    upper.emplace(page.role.smm, page.gfn);
  }
  for (const auto& [table, page] : view.pages) {
    if (!page.unsync || page.obsolete || !upper.contains({page.role.smm, page.gfn})) continue;
    complaints.add(
        fmt::format("table {:#x} is unsync, and gfn {:#x} is an upper table too", table, page.gfn));
  }
}

void mmio_without_slot(const View& view, Complaints& complaints) {
  for (const auto& [table, page] : view.pages) {
    // In an indirect page KVM renews the generation when it synchronizes: see
    // the looseness mmio-refreshed.
    if (page.obsolete || !page.role.direct || page.role.smm >= view.slot_generations.size()) {
      continue;
    }
    const std::uint64_t now = view.slot_generations[page.role.smm] & view.masks.mmio_generation;
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind != Kind::mmio || entry.generation != now) continue;
      const ViewSlot* const slot = find_slot(view, page.role.smm, entry.gfn);
      if (slot == nullptr) continue;
      complaints.add(fmt::format("{} says MMIO of generation {:#x} for gfn {:#x} of slot {}",
                                 print(ViewPlace{table, entry.index}), entry.generation, entry.gfn,
                                 slot->id));
    }
  }
}

void writes_logged(const View& view, Complaints& complaints) {
  each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    const unsigned level = page.role.level;
    // Where dirty bits log small leaves, the first write to a clean one sets the bit. One that
    // is set already would let it pass, unless whoever asks for the log reads the bits then.
    const bool by_bit = view.logs_dirty_bits && level == 1;
    if (!leaf.writable || (by_bit && !(view.logs_at_once && leaf.dirty))) return;
    const ViewSlot* const slot = find_slot(view, page.role.smm, leaf.gfn);
    if (slot == nullptr || (slot->flags & slot_logs) == 0 || slot->dirty.empty()) return;
    const Gfn first = first_of(leaf.gfn, level);
    for (Gfn gfn = first; gfn < first + (1ull << level_shift(level)); ++gfn) {
      const std::uint64_t at = gfn - slot->gfn;
      if (at >= slot->pages || ((slot->dirty[at / 64] >> (at % 64)) & 1u) != 0) continue;
      complaints.add(
          fmt::format("leaf {} maps gfn {:#x}, level {}, {}; the log of slot {} "
                      "has gfn {:#x} clean",
                      print(ViewPlace{page.table, leaf.index}), leaf.gfn, level,
                      by_bit ? "dirty and writable" : "writable", slot->id, gfn));
      return;
    }
  });
}

void write_bits_agree(const View& view, Complaints& complaints) {
  each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    const auto complain = [&](std::string_view what) {
      complaints.add(fmt::format("leaf {} of gfn {:#x} is {}",
                                 print(ViewPlace{page.table, leaf.index}), leaf.gfn, what));
    };
    if (leaf.mmu_writable && !leaf.host_writable) complain("MMU-writable, not host-writable");
    if (leaf.writable && !leaf.mmu_writable) complain("writable, not MMU-writable");
  });
  each_leaf_of(
      view, followed_tables(view), [&](const ViewPage& page, const ViewEntry& leaf, Gfn table) {
        if (leaf.writable || !leaf.mmu_writable) return;
        complaints.add(fmt::format(
            "a fault may make leaf {} writable, which maps the shadowed table at gfn {:#x}",
            print(ViewPlace{page.table, leaf.index}), table));
      });
}

void nothing_frozen(const View& view, Complaints& complaints) {
  for (const auto& [table, page] : view.pages) {
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind != Kind::frozen) continue;
      complaints.add(fmt::format("{} is frozen", print(ViewPlace{table, entry.index})));
    }
  }
}

void invalid_roots_empty(const View& view, Complaints& complaints) {
  for (const auto& [table, page] : view.pages) {
    if (!page.tdp_mmu || !page.parents.empty() || !page.role.invalid) continue;
    for (const ViewEntry& entry : page.entries) {
      if (entry.kind != Kind::leaf && entry.kind != Kind::link) continue;
      complaints.add(fmt::format("{} of an invalid root still maps or links",
                                 print(ViewPlace{table, entry.index})));
      break;
    }
  }
}

void host_pages_current(const View& view, Complaints& complaints) {
  if (view.counters.invalidating != 0) {
    complaints.add(fmt::format("mmu_invalidate_in_progress is {}, and the host changes nothing",
                               view.counters.invalidating));
  }
  each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    if (!leaf.host || leaf.host->frame == leaf.frame) return;
    complaints.add(fmt::format("leaf {} maps gfn {:#x} to frame {:#x}; the host has {:#x} there",
                               print(ViewPlace{page.table, leaf.index}), leaf.gfn, leaf.frame,
                               leaf.host->frame));
  });
}

}  // namespace lockstep::spec::checks
