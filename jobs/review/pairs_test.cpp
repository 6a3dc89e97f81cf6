// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/pairs.h"

#include <gtest/gtest.h>

namespace lockstep::jobs::review {
namespace {

props::Finding finding(const char* engine, std::size_t step, const char* title) {
  props::Finding made;
  made.engine = engine;
  made.step = step;
  made.title = title;
  return made;
}

TEST(Pairs, WhatTheBaseShowsTooIsNotThePatchs) {
  const auto base = finding(Workbench::base_name, 7, "read: another value");
  EXPECT_FALSE(shows_first(finding(Workbench::patched_name, 7, "read: another value"), base));
  EXPECT_FALSE(shows_first(finding(Workbench::patched_name, 3, "read: another value"), base));
}

TEST(Pairs, WhatThePatchedKernelShowsBeforeTheBaseFailsIsThePatchs) {
  const auto base = finding(Workbench::base_name, 7, "read: another value");
  EXPECT_TRUE(shows_first(finding(Workbench::patched_name, 3, "write: a #PF"), base));
  // What follows upon the base's own failure may be its consequence.
  EXPECT_FALSE(shows_first(finding(Workbench::patched_name, 9, "write: a #PF"), base));
  // In a pair the base may be the one that failed.
  EXPECT_FALSE(shows_first(finding(Workbench::base_name, 3, "write: a #PF"), base));
}

}  // namespace
}  // namespace lockstep::jobs::review
