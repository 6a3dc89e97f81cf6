// SPDX-License-Identifier: GPL-2.0-or-later
/// Arithmetic of gfn ranges at levels of huge pages: per-slot arrays, alignment,
/// and where a huge page may be.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs.
#pragma once

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Log2 of the 4-KiB pages that an entry of the level maps. KVM:
/// KVM_HPAGE_GFN_SHIFT().
template <typename W>
constexpr W level_shift(W level) {
  return (level - 1) * 9;
}

/// 4-KiB pages that one entry of the level maps. KVM: KVM_PAGES_PER_HPAGE().
template <typename W>
constexpr W pages_at(W level) {
  return W(1) << level_shift(level);
}

/// First frame of the huge page of the level around `frame`, of guest or host.
/// KVM: gfn_round_for_level().
template <typename W>
constexpr W round_to_level(W frame, W level) {
  return frame & (~W(0) << level_shift(level));
}

/// Place of a gfn in a slot's array of the level. KVM: gfn_to_index().
template <typename W>
constexpr W array_index(W gfn, W base, W level) {
  return (gfn >> level_shift(level)) - (base >> level_shift(level));
}

/// Elements of a slot's array of the level; `pages` is not 0. KVM:
/// __kvm_mmu_slot_lpages().
template <typename W>
constexpr W array_size(W base, W pages, W level) {
  return array_index(base + pages - 1, base, level) + 1;
}

/// Which elements of a slot's array of a huge level forbid a huge page from the
/// start: the first or last if they reach out of the slot, all if guest and host
/// addresses do not agree below the level's size. KVM:
/// kvm_alloc_memslot_metadata().
template <typename W>
struct SlotEdges {
  BoolOf<W> first;
  BoolOf<W> last;
  BoolOf<W> all;
};
template <typename W>
constexpr SlotEdges<W> slot_edges(W base, W pages, W host_base, W level) {
  const W within = pages_at(level) - 1;
  return {.first = (base & within) != 0,
          .last = ((base + pages) & within) != 0,
          .all = ((base ^ host_base) & within) != 0};
}
template <typename W>
constexpr BoolOf<W> edge_forbids(const SlotEdges<W>& edges, W index, W elements) {
  return edges.all || (edges.first && index == W(0)) || (edges.last && index + 1 == elements);
}

/// Frames from `first` up to `end` without it.
template <typename W>
struct FrameRange {
  W first;
  W end;
  BoolOf<W> empty;  ///< the others say nothing then
};
/// Pages that the addresses from `start` up to `end` touch.
template <typename W>
constexpr FrameRange<W> pages_of_bytes(W start, W end) {
  return {.first = start >> page_shift,
          .end = (end + (page_size - 1)) >> page_shift,
          .empty = start >= end};
}
/// Pages of a slot, counted from its first, that are in a range of host pages. The first
/// of the slot is the host page `slot_page`. KVM: __kvm_handle_hva_range(), in 7.2
/// kvm_handle_hva_range(); both clip addresses, which is the same.
template <typename W>
constexpr FrameRange<W> pages_of_slot(const FrameRange<W>& range, W slot_page, W pages) {
  const W slot_end = slot_page + pages;
  const W from = ite(range.first < slot_page, slot_page, range.first);
  const W to = ite(range.end < slot_end, range.end, slot_end);
  return {.first = from - slot_page, .end = to - slot_page, .empty = range.empty || from >= to};
}

/// Highest level at which a fault may map a gfn, no higher than `wanted`, from 1
/// to 3: what its elements at levels 2 and 3 allow. KVM:
/// kvm_mmu_max_mapping_level().
template <typename W>
constexpr W mapping_level(W wanted, BoolOf<W> allows2, BoolOf<W> allows3) {
  const W two = ite(wanted >= W(2) && allows2, W(2), 1);
  return ite(wanted >= W(3) && allows3, W(3), two);
}

}  // namespace lockstep::impl
