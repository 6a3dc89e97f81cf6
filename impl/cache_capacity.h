// SPDX-License-Identifier: GPL-2.0-or-later
/// How large the caches for splitting huge pages are, when they ask for more, and
/// when a list of SPTEs needs a descriptor.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs.
#pragma once

#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Descriptors that one split may need: one for each of 512 small pages, and one
/// for the link to the new table. KVM: SPLIT_DESC_CACHE_MIN_NR_OBJECTS.
inline constexpr unsigned split_minimum = 512 + 1;
/// KVM: KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE.
inline constexpr unsigned default_capacity = 40;
/// SPTEs in one descriptor. KVM: PTE_LIST_EXT.
inline constexpr unsigned descriptor_entries = 14;

/// Objects that a cache holds when it is full. KVM: topup_split_caches().
template <typename W>
constexpr W cache_capacity(W minimum, W spare) {
  return minimum + spare;
}

/// Whether the lock must be dropped to fill the cache. KVM: need_topup().
template <typename W>
constexpr BoolOf<W> needs_topup(W objects, W minimum) {
  return objects < minimum;
}

/// Whether one more SPTE of a gfn that has some takes a descriptor: the second one
/// does, and each that finds the first descriptor full. A single SPTE stands in
/// the head itself. `chained`: there are descriptors, and `in_first` SPTEs in the
/// first. KVM: pte_list_add().
template <typename W>
constexpr BoolOf<W> takes_descriptor(BoolOf<W> chained, W in_first) {
  return !chained || in_first == W(descriptor_entries);
}

}  // namespace lockstep::impl
