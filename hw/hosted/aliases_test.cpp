// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/aliases.h"

#include <gtest/gtest.h>

namespace lockstep::hw::hosted {
namespace {

TEST(Aliases, AreHostPagesWithTwoGuestAddresses) {
  Aliases met;
  met.add(0, 0x10000, 0x2000);
  met.add(0x8000, 0x12000, 0x2000);
  met.add(0, 0x10000, 0);            // deleted
  met.add(0x1000, 0x11000, 0x1000);  // as it was
  EXPECT_FALSE(met.met());
  met.add(0x9000, 0x11000, 0x1000);
  EXPECT_TRUE(met.met());
  met.clear();
  EXPECT_FALSE(met.met());
}

TEST(Aliases, AreOfPagesNotOfPrograms) {
  Aliases met;
  met.add(0x40'0000, 0x40'0000, 0x20'0000);
  met.add(0x1'0000'0000, 0x40'5000, 0x1000);
  EXPECT_TRUE(met.shares(0x405));
  EXPECT_TRUE(met.shares(0x10'0000));
  EXPECT_TRUE(met.shares(0x400)) << "as a huge page";
  EXPECT_FALSE(met.shares(0x404));
  EXPECT_FALSE(met.shares(0x406));
  EXPECT_FALSE(met.shares(0x700));
}

}  // namespace
}  // namespace lockstep::hw::hosted
