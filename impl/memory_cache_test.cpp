// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/memory_cache.h"

#include <gtest/gtest.h>

#include "impl/page_counter.h"

namespace lockstep::impl {
namespace {

TEST(MemoryCache, EmptyCacheIsAnErrorNotACrash) {
  TableArena arena(0x1000);
  MemoryCache cache(arena);
  EXPECT_EQ(cache.take().error(), Error::no_memory);
}

TEST(MemoryCache, TopupFailsOnlyBelowTheMinimum) {
  for (std::uint64_t n = 0; n < MemoryCache::capacity; ++n) {
    TableArena arena(0x1000);
    MemoryCache cache(arena);
    arena.fail_after(n);
    EXPECT_EQ(cache.topup(5).has_value(), n >= 5) << n;
    EXPECT_EQ(cache.size(), n);
  }
}

TEST(MemoryCache, ObjectsGoBackToTheArena) {
  TableArena arena(0x1000);
  {
    MemoryCache cache(arena);
    ASSERT_TRUE(cache.topup(3));
    auto object = cache.take();
    ASSERT_TRUE(object);
    EXPECT_EQ(arena.find((*object)->frame()), object->get());
    EXPECT_EQ(arena.in_use(), MemoryCache::capacity);
    cache.empty();
    EXPECT_EQ(arena.in_use(), 1u);
  }
  EXPECT_EQ(arena.in_use(), 0u);
}

TEST(MemoryCache, ReusedTablesAreZero) {
  TableArena arena(0x1000);
  std::uint64_t* table = nullptr;
  {
    auto page = arena.allocate();
    ASSERT_TRUE(page);
    (*page)->set(7, 0x123);
    table = (*page)->table();
  }
  auto again = arena.allocate();
  ASSERT_TRUE(again);
  ASSERT_EQ((*again)->table(), table);
  EXPECT_EQ(table[7], 0u);
}

TEST(PageCounter, ChargesGiveThemselvesBackOnce) {
  PageCounter counter(3);
  {
    PageCharge first = counter.charge();
    PageCharge moved = std::move(first);
    PageCharge other = counter.charge();
    EXPECT_EQ(counter.used(), 2u);
    EXPECT_EQ(counter.available(), 1u);
    other = PageCharge{};
    EXPECT_EQ(counter.used(), 1u);
  }
  EXPECT_EQ(counter.used(), 0u);
}

}  // namespace
}  // namespace lockstep::impl
