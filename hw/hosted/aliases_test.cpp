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

}  // namespace
}  // namespace lockstep::hw::hosted
