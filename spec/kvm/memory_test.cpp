// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/memory.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "spec/vocabulary/configuration.h"

namespace lockstep::spec {
namespace {

std::vector<Hva> written(const Memory& memory, Hfn page) {
  const auto cells = memory.written_in(page);
  std::vector<Hva> sorted(cells.begin(), cells.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

TEST(Memory, TellsEachWrittenCellOfAPageOnce) {
  Memory memory;
  EXPECT_TRUE(written(memory, 1).empty());
  memory.write(1, 0x1008, 4, 5);
  memory.write(2, 0x100c, 4, 6);
  EXPECT_TRUE(memory.maybe_write(3, 0x1ff8, 8, 7));
  memory.set_flags(0x2000, 1, 0);
  EXPECT_EQ(written(memory, 1), (std::vector<Hva>{0x1008, 0x1ff8}));
  EXPECT_EQ(written(memory, 2), (std::vector<Hva>{0x2000}));
  memory.discard(4, 0x1000, page_size);
  EXPECT_EQ(written(memory, 1).size(), 2u) << "what it held before counts";
}

// Programs read 100,000 fresh pages: none of them may cost anything to remember.
TEST(Memory, ReadingAFreshPageTeachesNothing) {
  Memory memory;
  memory.learn(0x1008, 8, code_cell(1), 0);
  memory.learn(0x100c, 4, code_cell(1) >> 32, 0);
  EXPECT_TRUE(written(memory, 1).empty());
  memory.learn(0x1008, 8, code_cell(1) | 0x20, 0x20);
  EXPECT_EQ(memory.load(0x1008, 8).front().value, code_cell(1) | 0x20);
}

TEST(Memory, AStoreThatMayHaveHappenedLeavesBothValues) {
  Memory memory;
  memory.write(1, 0x1000, 8, 5);
  EXPECT_TRUE(memory.maybe_write(2, 0x1000, 8, 7));
  EXPECT_EQ(memory.load(0x1000, 8).size(), 2u);
  memory.learn(0x1000, 8, 7, 0);
  ASSERT_EQ(memory.load(0x1000, 8).size(), 1u);
  EXPECT_EQ(memory.load(0x1000, 8).front().value, 7u);
}

TEST(Memory, WhatNobodyForesawIsLearntAllTheSame) {
  Memory memory;
  memory.write(1, 0x1000, 8, 5);
  memory.learn(0x1000, 4, 9, 0);
  ASSERT_EQ(memory.load(0x1000, 8).size(), 1u);
  EXPECT_EQ(memory.load(0x1000, 8).front().value, 9u);
}

// Where a page was never written, neither half of a cell is a present entry.
TEST(Memory, FreshPagesHoldNoPresentEntries) {
  const Memory memory;
  for (const Hva hva : {0ull, 0x1000ull, 0xffff'f000ull, 0xf'ffff'f000ull}) {
    for (const unsigned half : {0u, 4u}) {
      EXPECT_EQ(memory.load(hva + half, 4).front().value & 1, 0u) << hva;
    }
  }
}

}  // namespace
}  // namespace lockstep::spec
