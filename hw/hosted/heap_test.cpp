// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/heap.h"

#include <gtest/gtest.h>

#include <cstring>

#include "hw/hosted/fault_plan.h"

namespace lockstep::hw::hosted {
namespace {

TEST(Heap, AlignsAndReleases) {
  Heap heap;
  for (const std::uint64_t alignment : {1, 8, 16, 64, 4096}) {
    void* const block = heap.allocate(100, alignment);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % alignment, 0u);
    std::memset(block, 0xff, 100);
    EXPECT_EQ(heap.blocks(), 1u);
    EXPECT_TRUE(heap.release(block));
    EXPECT_EQ(heap.blocks(), 0u);
  }
}

TEST(Heap, DropsWhatIsLeft) {
  Heap heap;
  for (int i = 0; i < 100; ++i) ASSERT_NE(heap.allocate(64, 8), nullptr);
  heap.drop();
  EXPECT_EQ(heap.blocks(), 0u);
  void* const block = heap.allocate(1, 1);
  EXPECT_TRUE(heap.release(block));
}

TEST(Heap, ForgetsWhatWasReleased) {
  Heap heap;
  auto* const first = static_cast<unsigned char*>(heap.allocate(100, 16));
  std::memset(first, 0xff, 100);
  EXPECT_TRUE(heap.release(first));
  const auto* const again = static_cast<unsigned char*>(heap.allocate(100, 16));
  for (unsigned i = 0; i < 100; ++i) ASSERT_NE(again[i], 0xff) << i;
}

TEST(Heap, RefusesForeignBlocks) {
  Heap heap;
  alignas(16) char memory[128] = {};
  EXPECT_FALSE(heap.release(memory + 64));
  void* const block = heap.allocate(64, 16);
  static_cast<std::uint64_t*>(block)[-1] ^= 1;  // as an underflow does
  EXPECT_FALSE(heap.release(block));
}

TEST(Heap, KnowsWhoOwnsABlock) {
  Heap heap;
  void* const block = heap.allocate(64, 4096, 42);
  EXPECT_EQ(Heap::owner(block), 42u);
  alignas(16) char memory[192] = {};
  EXPECT_EQ(Heap::owner(memory + 128), std::nullopt);
}

TEST(Heap, SeesAnOverrun) {
  for (const std::uint64_t bytes : {1, 64, 320}) {
    Heap heap;
    auto* const block = static_cast<volatile char*>(heap.allocate(bytes, 16));
#ifdef __SANITIZE_ADDRESS__
    EXPECT_DEATH(block[bytes] = 1, "heap-buffer-overflow");
#else
    block[bytes] = static_cast<char>(block[bytes] + 1);
    EXPECT_FALSE(heap.release(const_cast<char*>(block)));
#endif
  }
}

TEST(Heap, HasAnEnd) {
  Heap heap;
  EXPECT_EQ(heap.allocate(~0ull - 4096, 8), nullptr);
  EXPECT_EQ(heap.allocate(Heap::most_bytes + 1, 8), nullptr);
  void* const half = heap.allocate(Heap::most_bytes / 2, 8);
  ASSERT_NE(half, nullptr);
  EXPECT_EQ(heap.allocate(Heap::most_bytes / 2 + 1, 8), nullptr);
  EXPECT_TRUE(heap.release(half));
  EXPECT_NE(heap.allocate(Heap::most_bytes / 2 + 1, 8), nullptr);
  heap.drop();
  EXPECT_NE(heap.allocate(Heap::most_bytes / 2, 8), nullptr);
}

TEST(FaultPlan, FailsTheOneThatWasAskedFor) {
  FaultPlan none;
  FaultPlan third = FaultPlan::nth(2);
  for (unsigned i = 0; i < 10; ++i) {
    EXPECT_FALSE(none.fails(HOSTED_SLAB));
    EXPECT_EQ(third.fails(HOSTED_PAGE), i == 2);
  }
  EXPECT_EQ(none.sites(), 10u);
  EXPECT_EQ(third.failed(), 1u);
  EXPECT_EQ(third.sites(HOSTED_PAGE), 10u);
}

TEST(FaultPlan, ReplaysBySeed) {
  FaultPlan one = FaultPlan::random(42, 4);
  FaultPlan same = FaultPlan::random(42, 4);
  for (unsigned i = 0; i < 1000; ++i) EXPECT_EQ(one.fails(HOSTED_SLAB), same.fails(HOSTED_SLAB));
  EXPECT_GT(one.failed(), 150u);
  EXPECT_LT(one.failed(), 350u);
}

}  // namespace
}  // namespace lockstep::hw::hosted
