// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "spec/kvm/invariant_checks.h"

namespace lockstep::spec::checks {
namespace {

using Kind = ViewEntry::Kind;

/// Set while an address space gets new slots (KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS).
constexpr std::uint64_t update_in_progress = 1ull << 63;

/// Why the place has no business in the rmap, or nothing.
std::string misplaced(const View& view, const ViewSlot& slot, const ViewRmap& rmap,
                      const ViewPlace& place) {
  const auto page = view.pages.find(place.table);
  const ViewEntry* const entry = find_entry(view, place);
  if (page == view.pages.end() || page->second.tdp_mmu) return "which is in no shadow page";
  if (entry == nullptr || entry->kind != Kind::leaf) return "which is no leaf";
  if (page->second.role.level != rmap.level) {
    return fmt::format("of level {}", page->second.role.level);
  }
  if (page->second.role.smm != slot.address_space) return "of another address space";
  if (first_of(entry->gfn, rmap.level) != rmap.gfn) {
    return fmt::format("which maps gfn {:#x}", entry->gfn);
  }
  return {};
}

/// Tables of the guest that are shadowed now, by address space.
std::map<std::pair<unsigned, Gfn>, int> shadowed(const View& view, unsigned least_level) {
  std::map<std::pair<unsigned, Gfn>, int> count;
  for (const auto& [table, page] : view.pages) {
    if (page.tdp_mmu || page.role.invalid || !shadows_table(page)) continue;
    if (page.role.level >= least_level) ++count[{page.role.smm, page.gfn}];
  }
  return count;
}

}  // namespace

const ViewSlot* find_slot(const View& view, unsigned address_space, Gfn gfn) {
  for (const ViewSlot& slot : view.slots) {
    if (slot.address_space == address_space && gfn - slot.gfn < slot.pages) return &slot;
  }
  return nullptr;
}

void rmaps_exact(const View& view, Complaints& complaints) {
  std::set<ViewPlace> known;
  for (const ViewSlot& slot : view.slots) {
    for (const ViewRmap& rmap : slot.rmaps) {
      for (const ViewPlace& place : rmap.places) {
        std::string wrong = misplaced(view, slot, rmap, place);
        if (!known.insert(place).second) wrong = "twice";
        if (wrong.empty()) continue;
        complaints.add(fmt::format("rmap of gfn {:#x}, level {}, slot {} has {} {}", rmap.gfn,
                                   rmap.level, slot.id, print(place), wrong));
      }
    }
  }
  each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    const ViewPlace place{page.table, leaf.index};
    if (page.tdp_mmu || known.contains(place)) return;
    complaints.add(fmt::format("leaf {} maps gfn {:#x}, level {}, whose rmap lacks it",
                               print(place), leaf.gfn, page.role.level));
  });
}

void rmaps_short(const View& view, Complaints& complaints) {
  constexpr std::size_t longest = 1000;
  for (const ViewSlot& slot : view.slots) {
    for (const ViewRmap& rmap : slot.rmaps) {
      if (rmap.places.size() <= longest) continue;
      complaints.add(fmt::format("rmap of gfn {:#x}, level {}, slot {} has {} entries", rmap.gfn,
                                 rmap.level, slot.id, rmap.places.size()));
    }
  }
}

void slots_disjoint(const View& view, Complaints& complaints) {
  for (std::size_t i = 0; i < view.slots.size(); ++i) {
    for (std::size_t j = i + 1; j < view.slots.size(); ++j) {
      const ViewSlot& one = view.slots[i];
      const ViewSlot& other = view.slots[j];
      if (one.address_space != other.address_space) continue;
      if (one.gfn < other.gfn + other.pages && other.gfn < one.gfn + one.pages) {
        complaints.add(fmt::format("slots {} and {} overlap", one.id, other.id));
      }
    }
  }
  std::set<std::uint64_t> generations;
  for (const std::uint64_t generation : view.slot_generations) {
    if ((generation & update_in_progress) != 0) {
      complaints.add(fmt::format("generation {:#x} says that an update goes on", generation));
    }
    if (!generations.insert(generation).second) {
      complaints.add(fmt::format("two address spaces have generation {:#x}", generation));
    }
  }
}

void nothing_outside_slots(const View& view, Complaints& complaints) {
  each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    if (find_slot(view, page.role.smm, leaf.gfn) != nullptr) return;
    complaints.add(fmt::format("leaf {} maps gfn {:#x}, which is in no slot",
                               print(ViewPlace{page.table, leaf.index}), leaf.gfn));
  });
  for (const auto& [space_and_gfn, count] : shadowed(view, 1)) {
    if (find_slot(view, space_and_gfn.first, space_and_gfn.second) != nullptr) continue;
    complaints.add(
        fmt::format("the table at gfn {:#x} is shadowed and in no slot", space_and_gfn.second));
  }
}

void huge_pages_disallowed(const View& view, Complaints& complaints) {
  const auto tables = shadowed(view, 1);
  std::map<std::tuple<const ViewSlot*, unsigned, Gfn>, int> wanted;
  for (const auto& [space_and_gfn, count] : tables) {
    const ViewSlot* const slot = find_slot(view, space_and_gfn.first, space_and_gfn.second);
    if (slot == nullptr) continue;
    for (unsigned level = 2; level <= 3; ++level) {
      wanted[{slot, level, first_of(space_and_gfn.second, level)}] += count;
    }
  }
  const auto judge = [&](const ViewSlot& slot, unsigned level, Gfn gfn, int number, int least) {
    // One more for an edge of the slot, or an address that is not aligned.
    if (number >= least && number <= least + 1) return;
    complaints.add(
        fmt::format("slot {} disallows huge pages at gfn {:#x}, level {}, {} times; {} tables are "
                    "shadowed there",
                    slot.id, gfn, level, number, least));
  };
  for (const ViewSlot& slot : view.slots) {
    for (const auto& [level, gfn, number] : slot.no_huge) {
      const auto found = wanted.find({&slot, level, gfn});
      judge(slot, level, gfn, number, found == wanted.end() ? 0 : found->second);
      if (found != wanted.end()) wanted.erase(found);
    }
  }
  for (const auto& [key, least] : wanted) {
    judge(*std::get<0>(key), std::get<1>(key), std::get<2>(key), 0, least);
  }
}

void huge_pages_in_slots(const View& view, Complaints& complaints) {
  each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    if (page.role.level == 1) return;
    const ViewSlot* const slot = find_slot(view, page.role.smm, leaf.gfn);
    const std::uint64_t pages = 1ull << level_shift(page.role.level);
    const Gfn first = first_of(leaf.gfn, page.role.level);
    if (leaf.host && leaf.host->level < page.role.level) {
      complaints.add(fmt::format(
          "leaf {} maps gfn {:#x}, level {}; the host's mapping has level {}",
          print(ViewPlace{page.table, leaf.index}), leaf.gfn, page.role.level, leaf.host->level));
    }
    if (slot == nullptr || (first >= slot->gfn && first + pages <= slot->gfn + slot->pages)) return;
    complaints.add(fmt::format("leaf {} maps gfn {:#x}, level {}, beyond slot {}",
                               print(ViewPlace{page.table, leaf.index}), leaf.gfn, page.role.level,
                               slot->id));
  });
}

void tables_tracked(const View& view, Complaints& complaints) {
  const auto all = shadowed(view, 1);
  std::uint64_t indirect = 0;
  for (const auto& [space_and_gfn, count] : all) indirect += static_cast<std::uint64_t>(count);
  if (indirect != view.counters.indirect_pages) {
    complaints.add(fmt::format("indirect_shadow_pages is {}, {} pages shadow tables",
                               view.counters.indirect_pages, indirect));
  }
  auto upper = shadowed(view, 2);
  for (const ViewSlot& slot : view.slots) {
    for (const auto& [level, gfn, number] : slot.tracked) {
      const auto found = upper.find({slot.address_space, gfn});
      const int wanted = found == upper.end() ? 0 : found->second;
      if (number != wanted) {
        complaints.add(
            fmt::format("gfn {:#x} is tracked {} times, {} upper tables are shadowed there", gfn,
                        number, wanted));
      }
      if (found != upper.end()) upper.erase(found);
    }
  }
  for (const auto& [space_and_gfn, count] : upper) {
    // Outside every slot it is invariant 26.
    if (find_slot(view, space_and_gfn.first, space_and_gfn.second) == nullptr) continue;
    complaints.add(fmt::format("the upper table at gfn {:#x} is shadowed and not tracked",
                               space_and_gfn.second));
  }
}

}  // namespace lockstep::spec::checks
