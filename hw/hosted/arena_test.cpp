// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/arena.h"

#include <gtest/gtest.h>

#include <cstring>

#include "spec/vocabulary/configuration.h"

namespace lockstep::hw::hosted {
namespace {

constexpr std::uint64_t memory = 4ull << 20;

class ArenaTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Arena::create({.program_bytes = 2 * memory, .spare_pages = 64, .kernel_pages = 16});
    ASSERT_TRUE(made) << made.error().message;
    arena = std::move(*made);
    reset();
  }
  void reset(bool huge = true) {
    ASSERT_TRUE(arena->reset(memory, huge));
    ASSERT_EQ(arena->first_stale(memory), std::nullopt);
  }
  std::uint64_t load(Hva hva) {
    std::uint64_t value = 0;
    EXPECT_TRUE(arena->load(hva, value, 8));
    return value;
  }
  /// What user space of the host sees at an address.
  std::uint64_t& mapped(Hva hva) {
    return *reinterpret_cast<std::uint64_t*>(arena->hva_base() + hva);
  }
  hosted_host_page page(Hva hva) {
    hosted_host_page found{};
    arena->look_up(arena->hva_base() + hva, found);
    return found;
  }
  std::unique_ptr<Arena> arena;
};

TEST_F(ArenaTest, UserAddressesLieBelowTheKernels) {
  EXPECT_LT(arena->hva_base(), arena->boundary().base);
  EXPECT_EQ(mapped(0x5000), code_cell(5));
  EXPECT_EQ(page(0x5000).frame, 5u);
  EXPECT_EQ(page(0x5000).level, 2u);
  EXPECT_EQ(page(memory).present, 0u);
  hosted_host_page outside{};
  arena->look_up(arena->hva_base() - 1, outside);
  EXPECT_EQ(outside.present, 0u);
}

TEST_F(ArenaTest, ResetRestoresWhatWasTouched) {
  EXPECT_TRUE(arena->store(0x5ffc, 0x1122'3344'5566'7788, 8));
  EXPECT_EQ(load(0x5ffc), 0x1122'3344'5566'7788u);
  mapped(0x7008) = 1;
  arena->touch(arena->hva_base() + 0x7008, 8);
  EXPECT_EQ(arena->first_stale(memory), 5u);
  reset();
  // Untold stores stay, which is why the kernel's side must tell.
  mapped(0x9000) = 1;
  ASSERT_TRUE(arena->reset(memory, true));
  EXPECT_EQ(arena->first_stale(memory), 9u);
}

TEST_F(ArenaTest, StoresStopAtTheEndOfMemory) {
  EXPECT_FALSE(arena->store(memory - 4, 0, 8));
  EXPECT_FALSE(arena->store(~0ull, 0, 8));
  std::uint64_t value = 0;
  EXPECT_FALSE(arena->load(memory, value, 1));
}

TEST_F(ArenaTest, MigrationMovesContentsAndAbandonsTheFrame) {
  EXPECT_TRUE(arena->store(0x5000, 42, 8));
  ASSERT_TRUE(arena->migrate(5, 2));
  EXPECT_NE(page(0x5000).frame, 5u);
  EXPECT_EQ(page(0x5000).level, 1u);
  EXPECT_EQ(page(0x20'0000).level, 2u);
  EXPECT_EQ(load(0x5000), 42u);
  EXPECT_EQ(mapped(0x5000), 42u);
  EXPECT_EQ(mapped(0x6000), code_cell(6));
  std::uint64_t left = 0;
  std::memcpy(&left, arena->frame(5), sizeof left);
  EXPECT_EQ(left, 0xdead'dead'dead'deaau);
  mapped(0x5000) = 43;
  EXPECT_EQ(load(0x5000), 43u);
  reset();
  EXPECT_EQ(page(0x5000).frame, 5u);
  EXPECT_EQ(mapped(0x5000), code_cell(5));
}

TEST_F(ArenaTest, SparesLastForever) {
  for (unsigned round = 0; round < 200; ++round) {
    ASSERT_TRUE(arena->migrate(round % 16, 7));
    ASSERT_EQ(mapped((round % 16) << page_shift), code_cell(round % 16));
    ASSERT_EQ(load((round % 16) << page_shift), code_cell(round % 16));
  }
  reset();
}

TEST_F(ArenaTest, ProtectStopsStores) {
  ASSERT_TRUE(arena->protect(5, 1, /*writable=*/false));
  EXPECT_FALSE(arena->store(0x5000, 1, 8));
  EXPECT_EQ(page(0x5000).writable, 0u);
  EXPECT_EQ(page(0x5000).level, 1u);
  EXPECT_EQ(load(0x5000), code_cell(5));
  EXPECT_DEATH(mapped(0x5000) = 1, "");
  ASSERT_TRUE(arena->protect(5, 1, /*writable=*/true));
  EXPECT_TRUE(arena->store(0x5000, 1, 8));
  ASSERT_TRUE(arena->protect(6, 1, /*writable=*/false));
  reset();
  mapped(0x6000) = code_cell(6);
}

TEST_F(ArenaTest, CollapseBringsAHugePageBack) {
  ASSERT_TRUE(arena->migrate(5, 1));
  ASSERT_TRUE(arena->collapse(0, 1024));
  EXPECT_EQ(page(0x5000).level, 2u);
  EXPECT_EQ(page(0x5000).frame, 5u);
  EXPECT_EQ(mapped(0x5000), code_cell(5));
  ASSERT_TRUE(arena->protect(5, 1, /*writable=*/false));
  ASSERT_TRUE(arena->collapse(0, 1024));
  EXPECT_EQ(page(0x5000).level, 1u);
  arena->split(0x200, 1);
  EXPECT_EQ(page(0x20'0000).level, 1u);
  ASSERT_TRUE(arena->collapse(1, 1023));
  EXPECT_EQ(page(0x20'0000).level, 2u);
  reset(/*huge=*/false);
  EXPECT_EQ(page(0x5000).level, 1u);
}

TEST_F(ArenaTest, DiscardedPagesAreFresh) {
  EXPECT_TRUE(arena->store(0x5000, 1, 8));
  ASSERT_TRUE(arena->discard(5, 1));
  EXPECT_EQ(mapped(0x5000), code_cell(5));
  EXPECT_NE(page(0x5000).frame, 5u);
  reset();
}

TEST_F(ArenaTest, HarnessesAreApartAndComeBack) {
  EXPECT_FALSE(arena->restore_harness(PagingMode::pae));
  const std::uint64_t at = arena->harness_address(PagingMode::pae);
  std::byte& there = arena->harness(PagingMode::pae)[0x2003];
  there = std::byte{5};
  arena->keep_harness(PagingMode::pae);
  arena->touch(at + 0x2000, 8);
  there = std::byte{6};
  reset();
  EXPECT_FALSE(arena->restore_harness(PagingMode::level4));
  EXPECT_EQ(there, std::byte{6});
  EXPECT_TRUE(arena->restore_harness(PagingMode::pae));
  EXPECT_EQ(there, std::byte{5});
  hosted_host_page found{};
  arena->look_up(at, found);
  EXPECT_EQ(arena->frame(found.frame), arena->harness(PagingMode::pae).data());
  EXPECT_EQ(found.level, 1u);
}

TEST_F(ArenaTest, TwoArenasCoexist) {
  auto other = Arena::create({.program_bytes = memory, .spare_pages = 64, .kernel_pages = 16});
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_NE((*other)->boundary().base, arena->boundary().base);
}

}  // namespace
}  // namespace lockstep::hw::hosted
