// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/rmap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "impl/memory_cache.h"

namespace lockstep::impl {
namespace {

struct Rmap : testing::Test {
  std::set<std::uint32_t> contents() const {
    std::set<std::uint32_t> all;
    head.for_each(pool, [&](SpteRef ref) { EXPECT_TRUE(all.insert(ref.value()).second); });
    return all;
  }
  void add(std::uint32_t value) {
    ASSERT_TRUE(cache.topup(1));
    ASSERT_TRUE(head.add(cache, SpteRef::from(value)));
  }
  RmapPool pool;
  RmapCache cache{pool};
  RmapHead head;
};

TEST_F(Rmap, OneEntryNeedsNoDescriptor) {
  ASSERT_TRUE(head.add(cache, SpteRef(3, 5)));
  EXPECT_EQ(head.first(pool), SpteRef(3, 5));
  EXPECT_EQ(head.count(pool), 1u);
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_FALSE(head.remove(pool, SpteRef(3, 6)));
  EXPECT_TRUE(head.remove(pool, SpteRef(3, 5)));
  EXPECT_TRUE(head.empty());
}

TEST_F(Rmap, TheSecondEntryFailsWithoutDescriptorAndChangesNothing) {
  ASSERT_TRUE(head.add(cache, SpteRef(0, 0)));
  EXPECT_EQ(head.add(cache, SpteRef(0, 1)).error(), Error::no_memory);
  EXPECT_EQ(contents(), std::set<std::uint32_t>{0});
}

TEST_F(Rmap, FourteenFitADescriptor) {
  for (std::uint32_t i = 0; i < 14; ++i) add(i);
  cache.empty();
  EXPECT_EQ(pool.in_use(), 1u);
  EXPECT_EQ(head.count(pool), 14u);
  add(14);
  cache.empty();
  EXPECT_EQ(pool.in_use(), 2u);
  EXPECT_EQ(head.count(pool), 15u);
}

TEST_F(Rmap, BackToOneGivesTheDescriptorBack) {
  add(1);
  add(2);
  cache.empty();
  EXPECT_TRUE(head.remove(pool, SpteRef::from(1)));
  EXPECT_EQ(pool.in_use(), 0u);
  EXPECT_EQ(head.first(pool), SpteRef::from(2));
}

TEST_F(Rmap, EqualsASetWhateverTheOrder) {
  std::mt19937 random(7);
  std::set<std::uint32_t> model;
  for (unsigned step = 0; step < 20'000; ++step) {
    const auto value = static_cast<std::uint32_t>(random() % 200);
    if (model.erase(value) != 0) {
      EXPECT_TRUE(head.remove(pool, SpteRef::from(value)));
    } else {
      add(value);
      model.insert(value);
    }
    ASSERT_EQ(head.count(pool), model.size());
    if (step % 64 == 0) {
      ASSERT_EQ(contents(), model);
    }
    // No list of n entries has more than one descriptor that is not full.
    ASSERT_LE(pool.in_use() - cache.size(), model.size() / 14 + 1);
  }
  head.clear(pool);
  cache.empty();
  EXPECT_EQ(pool.in_use(), 0u);
}

TEST(SplitCache, HasRoomForEveryPieceOfAHugePage) {
  // Seed 003: 512 pieces and one parent, 128 bytes each before, half of it here.
  EXPECT_EQ(split_minimum, 512u + 1u);
  EXPECT_EQ(SplitRmapCache::capacity - split_minimum, RmapCache::capacity);
  EXPECT_EQ(sizeof(RmapDescriptor), 64u);
}

}  // namespace
}  // namespace lockstep::impl
