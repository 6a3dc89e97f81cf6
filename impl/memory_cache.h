// SPDX-License-Identifier: GPL-2.0-or-later
/// What a fault may need, allocated before locks are taken.
#pragma once

#include <cstddef>

#include "impl/cache_capacity.h"
#include "impl/rmap.h"
#include "impl/table_arena.h"

namespace lockstep::impl {

/// KVM: mmu_shadow_page_cache. The objects of an empty cache are an error that
/// the caller sees.
using MemoryCache = ObjectCache<TableArena, 8>;
using TranslationCache = ObjectCache<TranslationPool, 8>;

/// KVM: the caches that mmu_topup_memory_caches() fills.
struct FaultCaches {
  explicit FaultCaches(TableArena& arena)
      : pages(arena), translations(arena.translations()), rmaps(arena.rmaps()) {}

  /// A page a level and one more; an rmap entry a link, the leaf, and what is
  /// prefetched.
  static constexpr std::size_t pages_per_fault = 6;
  static constexpr std::size_t rmaps_per_fault = 14;

  /// Fill all; what was allocated before a failure stays.
  Expected<void> topup() {
    if (auto filled = pages.topup(pages_per_fault); !filled) return filled;
    if (auto filled = translations.topup(pages_per_fault); !filled) return filled;
    return rmaps.topup(rmaps_per_fault);
  }
  /// Give everything back; how many shadow pages there were.
  std::size_t empty() {
    translations.empty();
    rmaps.empty();
    return pages.empty();
  }

  MemoryCache pages;
  TranslationCache translations;
  RmapCache rmaps;
};

/// Descriptors for splitting huge pages. Some more than one split needs are kept,
/// so that the lock is not dropped for every single object.
using SplitRmapCache =
    ObjectCache<RmapPool, cache_capacity<std::size_t>(split_minimum, RmapCache::capacity)>;
static_assert(SplitRmapCache::capacity == 553);

}  // namespace lockstep::impl
