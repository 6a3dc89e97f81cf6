// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/host_memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace lockstep::impl {
namespace {

struct Host : testing::Test {
  static constexpr std::uint64_t size = 6ull << 20;
  std::vector<std::byte> home = std::vector<std::byte>(size);
  std::vector<std::uint64_t> touched = std::vector<std::uint64_t>(size / page_size / 64);
  HostMemory memory{home, touched};
};

TEST_F(Host, MigrationKeepsContentsAndLeavesGarbage) {
  memory.store(0x5008, 8, 42);
  const Hfn before = memory.frame(0x5000);
  memory.migrate(0x5000, page_size);
  EXPECT_EQ(memory.frame(0x5000), before | HostMemory::away_frame);
  EXPECT_EQ(memory.load(0x5008, 8), 42u);
  EXPECT_NE(memory.load_frame(before, 8, 8), 42u);
  memory.store_frame(before, 8, 8, 43);
  EXPECT_EQ(memory.load(0x5008, 8), 42u) << "a store to a frame that was given back";
  memory.migrate(0x5000, page_size);
  EXPECT_EQ(memory.frame(0x5000), before);
  EXPECT_EQ(memory.load(0x5008, 8), 42u);
}

TEST_F(Host, HugeWhileWholeAlikeAndNotSplit) {
  EXPECT_EQ(memory.level(0x200000), 2u);
  memory.split(0x3ff000, page_size);
  EXPECT_EQ(memory.level(0x200000), 1u);
  EXPECT_EQ(memory.level(0x400000), 2u);
  memory.collapse(0x200000, 0x200000);
  EXPECT_EQ(memory.level(0x200000), 2u);
  memory.migrate(0x200000, page_size);
  EXPECT_EQ(memory.level(0x3ff000), 1u);
  memory.migrate(0x201000, 0x200000 - page_size);
  EXPECT_EQ(memory.level(0x3ff000), 2u);
  EXPECT_EQ(memory.frame(0x200000) % 512, 0u);
  memory.protect(0x200000, page_size, true);
  EXPECT_EQ(memory.level(0x3ff000), 1u);
  EXPECT_FALSE(memory.writable(0x200000));
  memory.protect(0x200000, page_size, false);
  EXPECT_EQ(memory.level(0x3ff000), 2u);
}

TEST_F(Host, WhatIsNoWholeHugePageNeverIsOne) {
  HostMemory odd({home.data(), 0x300000}, touched);
  EXPECT_EQ(odd.level(0x100000), 2u);
  EXPECT_EQ(odd.level(0x200000), 1u);
}

}  // namespace
}  // namespace lockstep::impl
