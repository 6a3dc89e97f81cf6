// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/pool.h"

#include <gtest/gtest.h>

#include <cstring>

#include "hw/hosted/boundary_schedule.h"

namespace lockstep::hw::hosted {
namespace {

class PoolTest : public testing::Test {
 protected:
  std::uint8_t state(const void* at, std::uint64_t offset = 0) const {
    return pool->state()[(reinterpret_cast<std::uintptr_t>(at) + offset - pool->base()) / 8];
  }
  std::unique_ptr<Pool> pool = *Pool::create(1 << 20);
};

TEST_F(PoolTest, KnowsEachByte) {
  auto* const one = static_cast<char*>(pool->allocate(20, 8));
  auto* const two = static_cast<char*>(pool->allocate(4096, 4096));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(two) % 4096, 0u);
  EXPECT_EQ(state(one), 8);
  EXPECT_EQ(state(one, 16), 4);
  EXPECT_EQ(state(one, 24), 0);
  EXPECT_EQ(state(two, 4095), 8);
  EXPECT_TRUE(pool->release(one));
  EXPECT_EQ(state(one, 16), HOSTED_STATE_FREED);
  EXPECT_FALSE(pool->release(one)) << "twice";
  EXPECT_FALSE(pool->release(two + 8)) << "no begin";
  EXPECT_NE(pool->allocate(20, 8), one) << "an address serves once";
  EXPECT_EQ(pool->allocate(2 << 20, 8), nullptr);
}

TEST_F(PoolTest, NamesObjects) {
  pool->set_site(0x1234);
  auto* const one = static_cast<char*>(pool->allocate(100, 8));
  auto* const two = static_cast<char*>(pool->allocate(100, 8));
  const auto found = pool->object_at(reinterpret_cast<std::uintptr_t>(one) + 99);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->site, 0x1234u);
  EXPECT_EQ(found->serial, 0u);
  EXPECT_EQ(pool->object_at(reinterpret_cast<std::uintptr_t>(two))->serial, 1u);
  EXPECT_FALSE(pool->object_at(reinterpret_cast<std::uintptr_t>(one) + 100));
}

TEST_F(PoolTest, ComesBackAsItWas) {
  auto* const kept = static_cast<char*>(pool->allocate(64, 8));
  std::memset(kept, 1, 64);
  pool->save();
  std::memset(kept, 2, 64);
  EXPECT_TRUE(pool->release(kept));
  void* const later = pool->allocate(64, 8);
  pool->restore();
  EXPECT_EQ(kept[63], 1);
  EXPECT_EQ(state(kept), 8);
  EXPECT_EQ(state(later), 0);
  EXPECT_FALSE(pool->object_at(reinterpret_cast<std::uintptr_t>(later)));
  EXPECT_EQ(pool->allocate(64, 8), later);
}

TEST(Pool, KnowsWhoOwnsAnObject) {
  auto pool = Pool::create(1 << 16);
  ASSERT_TRUE(pool);
  auto* const object = static_cast<std::byte*>((*pool)->allocate(64, 8, 42));
  EXPECT_EQ((*pool)->owner(object), 42u);
  EXPECT_EQ((*pool)->owner(object + 8), std::nullopt);
  EXPECT_TRUE((*pool)->release(object));
  EXPECT_EQ((*pool)->owner(object), std::nullopt);
}

}  // namespace
}  // namespace lockstep::hw::hosted
