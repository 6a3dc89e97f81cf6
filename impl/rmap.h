// SPDX-License-Identifier: GPL-2.0-or-later
/// Reverse mappings: which SPTEs map a gfn, or link to a table. One entry stands
/// in the head itself; more of them in descriptors of 14, a cache line each.
#pragma once

#include <array>
#include <cstdint>

#include "impl/cache_capacity.h"
#include "impl/object_pool.h"

namespace lockstep::impl {

/// The name of one SPTE: shadow page index and entry in 31 bits.
class SpteRef {
 public:
  constexpr SpteRef() = default;
  constexpr SpteRef(std::uint32_t page, unsigned entry) : value_(page << 9 | entry) {}
  static constexpr SpteRef from(std::uint32_t value) { return SpteRef(value >> 9, value & 511u); }
  constexpr bool none() const { return value_ == ~0u; }
  constexpr std::uint32_t page() const { return value_ >> 9; }
  constexpr unsigned entry() const { return value_ & 511u; }
  constexpr std::uint32_t value() const { return value_; }
  constexpr bool operator==(const SpteRef&) const = default;

 private:
  std::uint32_t value_ = ~0u;
};

/// Shadow pages that SpteRef and RmapHead can name.
inline constexpr std::uint32_t most_shadow_pages = (1u << 22) - 1;

/// KVM: struct pte_list_desc. Only the first descriptor of a chain is not full,
/// so that adding and counting take no walk.
struct alignas(64) RmapDescriptor {
  static constexpr unsigned capacity = descriptor_entries;
  std::uint32_t next;         ///< index of the next one, if `behind` is not 0
  std::uint32_t count : 8;    ///< entries here
  std::uint32_t behind : 24;  ///< full descriptors behind this one
  std::array<SpteRef, capacity> entries;
};
static_assert(sizeof(RmapDescriptor) == 64);

using RmapPool = ObjectPool<RmapDescriptor>;
using RmapCache = ObjectCache<RmapPool, default_capacity>;

/// Head of one list; all-zero means empty, so that calloc() makes it. Owns the
/// descriptors of its chain: clear it before it goes. KVM: struct kvm_rmap_head.
class RmapHead {
 public:
  bool empty() const { return raw_ == 0; }
  /// O(1).
  unsigned count(const RmapPool& pool) const {
    if (raw_ == 0) return 0;
    if (!chained()) return 1;
    const RmapDescriptor& first = pool.at(index());
    return first.count + RmapDescriptor::capacity * first.behind;
  }
  /// Some entry of the list, or none.
  SpteRef first(const RmapPool& pool) const {
    if (raw_ == 0) return {};
    if (!chained()) return SpteRef::from(raw_ - 1);
    const RmapDescriptor& desc = pool.at(index());
    return desc.entries[desc.count - 1];
  }
  /// Call visit(SpteRef) for each; it may not add or remove.
  template <typename Visit>
  void for_each(const RmapPool& pool, Visit&& visit) const {
    if (raw_ == 0) return;
    if (!chained()) {
      visit(SpteRef::from(raw_ - 1));
      return;
    }
    for (std::uint32_t at = index();;) {
      const RmapDescriptor& desc = pool.at(at);
      for (unsigned i = 0; i < desc.count; ++i) visit(desc.entries[i]);
      if (desc.behind == 0) return;
      at = desc.next;
    }
  }

  /// Add an entry that is not in the list. O(1). no_memory if a descriptor is
  /// needed and the cache is empty; then nothing changed. KVM: pte_list_add().
  template <typename Cache>
  Expected<void> add(Cache& cache, SpteRef ref);
  /// Remove an entry; false if it is not there. O(count / 14).
  /// KVM: pte_list_remove().
  bool remove(RmapPool& pool, SpteRef ref);
  /// Make the list empty.
  void clear(RmapPool& pool);

 private:
  static constexpr std::uint32_t chain_bit = 1u << 31;
  bool chained() const { return (raw_ & chain_bit) != 0; }
  std::uint32_t index() const { return raw_ & ~chain_bit; }

  /// 0: empty; an SpteRef + 1; or the index of the first descriptor.
  std::uint32_t raw_ = 0;
};

template <typename Cache>
Expected<void> RmapHead::add(Cache& cache, SpteRef ref) {
  if (raw_ == 0) {
    raw_ = ref.value() + 1;
    return {};
  }
  RmapDescriptor* first = chained() ? &cache.source().at(index()) : nullptr;
  if (!takes_descriptor<std::uint64_t>(first != nullptr, first != nullptr ? first->count : 1)) {
    first->entries[first->count] = ref;
    first->count = (first->count + 1u) & 0xffu;
    return {};
  }
  auto desc = cache.take();
  if (!desc) return fail(desc.error());
  if (first == nullptr) {
    (*desc)->behind = 0;
    (*desc)->count = 2;
    (*desc)->entries[0] = SpteRef::from(raw_ - 1);
    (*desc)->entries[1] = ref;
  } else {
    (*desc)->next = index();
    (*desc)->behind = (first->behind + 1u) & 0xff'ffffu;
    (*desc)->count = 1;
    (*desc)->entries[0] = ref;
  }
  raw_ = chain_bit | desc->release();
  return {};
}

}  // namespace lockstep::impl
