// SPDX-License-Identifier: GPL-2.0-or-later
/// How large the caches for splitting huge pages are, and what a per-CPU counter
/// of pages may say.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// this text.
#pragma once

#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Descriptors that one split may need: one for each of 512 small pages, and one
/// for the link to the new table. KVM: SPLIT_DESC_CACHE_MIN_NR_OBJECTS.
inline constexpr unsigned split_minimum = 512 + 1;
/// KVM: KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE.
inline constexpr unsigned default_capacity = 40;
/// Bytes of a pte_list_desc: three words and 14 pointers, less padding: 128.
inline constexpr unsigned descriptor_bytes = 8 + 8 + 14 * 8;

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

/// Objects taken from a full cache before it needs to be filled again.
template <typename W>
constexpr W takes_between_topups(W capacity, W minimum) {
  return capacity - minimum + 1;
}

/// Descriptors that a list of `entries` SPTEs of one gfn needs: a single one is
/// kept in the head itself. KVM: pte_list_add(), PTE_LIST_EXT.
template <typename W>
constexpr W descriptors_needed(W entries) {
  return ite(entries < W(2), W(0), (entries + 13) / 14);
}

/// One CPU's share of a per-CPU counter after `amount` was added, and what moved
/// to the common count. KVM: percpu_counter_add_batch().
template <typename I>
struct CounterStep {
  I local;
  I moved;
};
template <typename I>
constexpr CounterStep<I> add_to_counter(I local, I amount, I batch) {
  const I sum = local + amount;
  const auto spills = sum >= batch || I(0) - sum >= batch;
  return {ite(spills, I(0), sum), ite(spills, sum, I(0))};
}

/// What a reader takes for the count. KVM: percpu_counter_read_positive().
template <typename I>
constexpr I read_positive(I common) {
  return ite(common < I(0), I(0), common);
}

}  // namespace lockstep::impl
