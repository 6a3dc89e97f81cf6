// SPDX-License-Identifier: GPL-2.0-or-later
/// Invariants that speak of what one command changes: a view before it, a view
/// after it.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "spec/kvm/invariant_checks.h"

namespace lockstep::spec::checks {
namespace {

using Kind = ViewEntry::Kind;

constexpr unsigned entries_of_a_table = 512;
/// Pages that one command writes: its own, and tables with accessed and dirty flags.
constexpr unsigned most_written = 8;

/// The page that has this table before and after: same gfn, same role.
const ViewPage* same_page(const View& after, const ViewPage& page) {
  const auto found = after.pages.find(page.table);
  if (found == after.pages.end()) return nullptr;
  ViewRole was = page.role;
  ViewRole is = found->second.role;
  // A bit of the role's word in KVM.
  was.invalid = is.invalid = false;
  was.word = is.word = 0;
  return found->second.gfn == page.gfn && was == is && found->second.tdp_mmu == page.tdp_mmu
             ? &found->second
             : nullptr;
}

/// It was valid before and is unmade now.
bool zapped(const View& after, const ViewPage& page) {
  const ViewPage* now = same_page(after, page);
  return now == nullptr || now->role.invalid;
}

/// Nothing but reclaim and synchronizing can have unmade pages in this step.
bool only_reclaim(const View& before, const View& after) {
  return before.counters.flooded == after.counters.flooded &&
         before.counters.pte_writes == after.counters.pte_writes &&
         before.slot_generations == after.slot_generations &&
         before.valid_generation == after.valid_generation;
}

}  // namespace

void capacities_kept(const View& before, const View& after, Complaints& complaints) {
  for (const ViewVcpu& vcpu : after.vcpus) {
    const auto old = std::ranges::find(before.vcpus, vcpu.id, &ViewVcpu::id);
    if (old == before.vcpus.end()) continue;
    for (const ViewCache& cache : vcpu.caches) {
      const auto was = std::ranges::find(old->caches, cache.name, &ViewCache::name);
      if (was == old->caches.end() || was->capacity == 0 || was->capacity == cache.capacity) {
        continue;
      }
      complaints.add(fmt::format("{} of vCPU {} had room for {} objects, now for {}", cache.name,
                                 vcpu.id, was->capacity, cache.capacity));
    }
  }
}

void reclaim_oldest_first(const View& before, const View& after, Complaints& complaints) {
  if (after.counters.recycled <= before.counters.recycled || !only_reclaim(before, after)) return;
  // Synchronizing may unmake pages of level 1, whatever their age.
  bool younger_gone = false;
  Hfn gone = 0;
  for (const Hfn table : before.active) {
    const auto page = before.pages.find(table);
    if (page == before.pages.end() || page->second.role.level == 1) continue;
    const ViewPage* const now = same_page(after, page->second);
    if (zapped(after, page->second)) {
      if (page->second.root_count > 0 && now != nullptr && now->root_count > 0) {
        complaints.add(fmt::format("reclaim has zapped table {:#x}, a root in use", table));
      }
      younger_gone = true;
      gone = table;
    } else if (younger_gone && page->second.root_count == 0 && now->root_count == 0) {
      complaints.add(fmt::format("reclaim has zapped table {:#x}, and {:#x}, which is older, stays",
                                 gone, table));
      return;
    }
  }
}

void obsolete_pages_shrink(const View& before, const View& after, Complaints& complaints) {
  for (const auto& [table, page] : before.pages) {
    if (!page.obsolete) continue;
    const ViewPage* const now = same_page(after, page);
    if (now == nullptr || !now->obsolete) continue;
    for (const ViewEntry& entry : now->entries) {
      if (entry.kind != Kind::leaf && entry.kind != Kind::link) continue;
      const ViewEntry* const was = find_entry(before, {table, entry.index});
      if (was != nullptr && was->kind == entry.kind && was->frame == entry.frame) continue;
      complaints.add(fmt::format("{} of an obsolete page was set anew, to frame {:#x}",
                                 print(ViewPlace{table, entry.index}), entry.frame));
    }
  }
}

void generations_grow(const View& before, const View& after, Complaints& complaints) {
  const auto places = [](const View& view, unsigned space) {
    std::set<std::tuple<int, Gfn, std::uint64_t, std::uint64_t>> all;
    for (const ViewSlot& slot : view.slots) {
      if (slot.address_space != space) continue;
      all.emplace(slot.id, slot.gfn, slot.pages, slot.address);
    }
    return all;
  };
  const std::size_t spaces =
      std::min(before.slot_generations.size(), after.slot_generations.size());
  for (unsigned space = 0; space < spaces; ++space) {
    const std::uint64_t was = before.slot_generations[space];
    const std::uint64_t is = after.slot_generations[space];
    if (is < was) {
      complaints.add(fmt::format("the generation of address space {} fell from {:#x} to {:#x}",
                                 space, was, is));
    } else if (is == was && places(before, space) != places(after, space)) {
      complaints.add(
          fmt::format("address space {} has other slots and its old generation {:#x}", space, was));
    }
  }
}

void splits_preserve(const View& before, const View& after, Complaints& complaints) {
  for (const auto& [table, page] : before.pages) {
    const ViewPage* const now = page.role.level > 1 ? same_page(after, page) : nullptr;
    if (now == nullptr) continue;
    for (const ViewEntry& huge : page.entries) {
      if (huge.kind != Kind::leaf) continue;
      const ViewEntry* const link = find_entry(after, {table, huge.index});
      if (link == nullptr || link->kind != Kind::link) continue;
      const auto below = after.pages.find(link->frame);
      if (below == after.pages.end()) continue;
      // A fault fills one entry or a few; a split fills the table.
      const auto& small = below->second.entries;
      const bool split =
          small.size() == entries_of_a_table &&
          std::ranges::all_of(small, [](const ViewEntry& e) { return e.kind == Kind::leaf; });
      if (!split) continue;
      const std::uint64_t size = 1ull << level_shift(page.role.level - 1);
      const std::string whole = print(ViewPlace{table, huge.index});
      unsigned gained = 0;
      for (const ViewEntry& piece : small) {
        const std::string place = print(ViewPlace{link->frame, piece.index});
        const Hfn wanted = huge.frame + piece.index * size;
        if (piece.frame != wanted) {
          complaints.add(fmt::format("{}, a piece of the huge leaf {}, maps frame {:#x}, not {:#x}",
                                     place, whole, piece.frame, wanted));
        }
        // The fault that split the page may have got back for some pieces what the
        // dirty log took from all of them.
        if (piece.writable && !huge.writable && ++gained > most_written) {
          complaints.add(
              fmt::format("{} pieces of the huge leaf {} gained write access", gained, whole));
        }
        if (piece.host_writable && !huge.host_writable) {
          complaints.add(
              fmt::format("{}, a piece of the huge leaf {}, became host-writable", place, whole));
        }
      }
    }
  }
}

}  // namespace lockstep::spec::checks
