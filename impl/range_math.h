// SPDX-License-Identifier: GPL-2.0-or-later
/// Arithmetic of gfn ranges at levels of huge pages: per-slot arrays, alignment,
/// and what a flush must cover.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// this text.
#pragma once

#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Log2 of the 4-KiB pages that an entry of the level maps. KVM:
/// KVM_HPAGE_GFN_SHIFT().
template <typename W>
constexpr W level_shift(W level) {
  return (level - 1) * 9;
}

/// First gfn of the huge page of the level around `gfn`. KVM:
/// gfn_round_for_level().
template <typename W>
constexpr W round_to_level(W gfn, W level) {
  return gfn & (~W(0) << level_shift(level));
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

/// Whether the huge page of the level around `gfn` lies within the slot, and
/// guest and host addresses agree below its size. KVM: what disallow_lpage of
/// kvm_alloc_memslot_metadata() stands for.
template <typename W>
constexpr BoolOf<W> huge_fits(W gfn, W base, W pages, W host_base, W level) {
  const W size = W(1) << level_shift(level);
  const W first = round_to_level(gfn, level);
  const BoolOf<W> inside = first >= base && first + size <= base + pages;
  return inside && ((base ^ host_base) & (size - 1)) == 0;
}

/// Highest level at which a fault may map `gfn`, no higher than `wanted`, from 1.
/// KVM: kvm_mmu_max_mapping_level().
template <typename W>
constexpr W mapping_level(W gfn, W base, W pages, W host_base, W wanted) {
  const W two = ite(wanted >= W(2) && huge_fits<W>(gfn, base, pages, host_base, 2), W(2), 1);
  return ite(wanted >= W(3) && huge_fits<W>(gfn, base, pages, host_base, 3), W(3), two);
}

/// Host frame of the huge page at the level that holds `frame`. KVM:
/// kvm_mmu_hugepage_adjust().
template <typename W>
constexpr W adjusted_frame(W frame, W level) {
  return round_to_level(frame, level);
}

}  // namespace lockstep::impl
