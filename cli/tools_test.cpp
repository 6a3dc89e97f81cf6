// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/tools.h"

#include <gtest/gtest.h>

namespace lockstep::cli {
namespace {

TEST(Tools, FindsAProgramInAnyFolder) {
  EXPECT_EQ(find_program("sh", "/nowhere:/bin"), "/bin/sh");
  EXPECT_EQ(find_program("no-such-program", "/bin:/usr/bin"), std::nullopt);
  EXPECT_EQ(find_program("sh", ""), std::nullopt);
  // A folder of that name is no program.
  EXPECT_EQ(find_program("bin", "/usr"), std::nullopt);
}

}  // namespace
}  // namespace lockstep::cli
