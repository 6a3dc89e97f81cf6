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

TEST(Pairs, AComplaintThatMovedIsTheSame) {
  const auto warned = [](const char* where) {
    return Observation(Unexpected{std::string("WARN: WARNING at arch/x86/kvm/mmu/") + where});
  };
  const auto base = warned("paging_tmpl.h:771, at paging64_page_fault+0xaee, called by f");
  EXPECT_TRUE(same_answer(base, warned("paging_tmpl.h:774, at paging64_fault+0xae9, called by g")));
  EXPECT_FALSE(same_answer(base, warned("mmu.c:771, at paging64_page_fault+0xaee, called by f")));
  EXPECT_FALSE(same_answer(base, Observation(Unexpected{"KASAN: use after free"})));
  EXPECT_FALSE(same_answer(base, Observation(Done{})));
  EXPECT_FALSE(same_answer(Observation(Value{1}), Observation(Value{2})));
  EXPECT_TRUE(same_answer(Observation(Value{1}), Observation(Value{1})));
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
