// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/budget.h"

#include <gtest/gtest.h>

namespace lockstep::cli {
namespace {

using std::chrono::milliseconds;

TEST(Budget, TakesEveryUnit) {
  EXPECT_EQ(parse_budget("250ms"), milliseconds(250));
  EXPECT_EQ(parse_budget("60s"), milliseconds(60'000));
  EXPECT_EQ(parse_budget("5m"), milliseconds(300'000));
  EXPECT_EQ(parse_budget("8h"), milliseconds(28'800'000));
  EXPECT_EQ(parse_budget("1d"), milliseconds(86'400'000));
}

TEST(Budget, RefusesWhatIsNoSpanOfTime) {
  for (const char* text :
       {"", "60", "s", "-5s", "0s", "1.5h", "5 m", "5mm", "+5s", "5S", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_budget(text)) << text;
  }
}

TEST(Budget, StopsAtAYear) {
  EXPECT_TRUE(parse_budget("365d"));
  EXPECT_FALSE(parse_budget("366d"));
  EXPECT_FALSE(parse_budget("9223372036854775807h"));
}

}  // namespace
}  // namespace lockstep::cli
