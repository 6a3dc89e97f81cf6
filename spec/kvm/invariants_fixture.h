// SPDX-License-Identifier: GPL-2.0-or-later
/// Test helper: a view in which every invariant holds, and its parts.
#pragma once

#include <algorithm>

#include "spec/kvm/view.h"

namespace lockstep::spec {

inline ViewEntry link(unsigned index, Hfn child) {
  ViewEntry entry;
  entry.index = index;
  entry.kind = ViewEntry::Kind::link;
  entry.raw = child << page_shift | 0x807;
  entry.frame = child;
  return entry;
}

inline ViewEntry leaf(unsigned index, Gfn gfn) {
  ViewEntry entry;
  entry.index = index;
  entry.kind = ViewEntry::Kind::leaf;
  entry.raw = gfn << page_shift | 0x807;
  entry.frame = entry.gfn = gfn;
  entry.readable = entry.writable = entry.mmu_writable = entry.host_writable = true;
  return entry;
}

/// One vCPU on the root 0x104 of four levels, which shadow the guest's tables at
/// gfn 1 to 4; gfn 8 is mapped by the lowest, and gfn 0x200 by a huge page.
inline View healthy() {
  View view;
  for (unsigned level = 1; level <= 4; ++level) {
    ViewPage page;
    page.table = 0x100 + level;
    page.gfn = 5 - level;
    page.role.level = level;
    page.role.word = level | 7 << 8;
    page.role.access = 7;
    if (level > 1) page.entries.push_back(link(0, 0x100 + level - 1));
    if (level == 1) page.entries.push_back(leaf(8, 8));
    if (level == 2) page.entries.push_back(leaf(1, 0x200));
    if (level < 4) page.parents.push_back({0x100 + level + 1, 0});
    page.root_count = level == 4 ? 1 : 0;
    view.active.push_back(page.table);
    view.pages.emplace(page.table, page);
  }
  ViewSlot slot;
  slot.pages = 0x1000;
  slot.has_rmaps = slot.has_tracking = true;
  slot.no_huge = {{2, 0, 4}, {3, 0, 5}};
  slot.tracked = {{1, 1, 1}, {1, 2, 1}, {1, 3, 1}};
  slot.rmaps = {{1, 8, {{0x101, 8}}}, {2, 0x200, {{0x102, 1}}}};
  view.slots.push_back(slot);
  ViewVcpu vcpu;
  vcpu.mmus[0].active = ViewRoot{.guest_root = 0x1000, .root = 0x104000};
  vcpu.mmus[0].used = true;
  vcpu.mmus[0].role = view.pages.at(0x104).role;
  view.vcpus.push_back(vcpu);
  view.slot_generations = {4, 1};
  view.counters.used_pages = 4;
  view.counters.used_pages_everywhere = 4;
  view.counters.indirect_pages = 4;
  view.counters.leaves = {1, 1, 0};
  return view;
}

/// A page of the TDP MMU's root, or below it.
inline ViewPage direct(Hfn table, unsigned level) {
  ViewPage page;
  page.table = table;
  page.role.level = level;
  page.role.word = level | 1 << 7;
  page.role.direct = true;
  page.tdp_mmu = true;
  page.root_count = level == 4 ? 1 : 0;
  return page;
}

inline ViewEntry& entry(View& view, Hfn table, unsigned index) {
  auto& entries = view.pages.at(table).entries;
  return *std::ranges::find(entries, index, &ViewEntry::index);
}

}  // namespace lockstep::spec
