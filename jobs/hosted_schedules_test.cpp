// SPDX-License-Identifier: GPL-2.0-or-later
// Needs an image of a kernel whose schedule is controlled: LOCKSTEP_SCHEDULED_IMAGE names
// the file.
#include "jobs/hosted_schedules.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "jobs/schedule_hunt.h"

namespace lockstep::jobs {
namespace {

/// Programs of less memory than those before them, too: what one system leaves behind in
/// the process is no failure of the next.
TEST(HostedSystems, TakeTurnsInOneProcess) {
  const char* const image = std::getenv("LOCKSTEP_SCHEDULED_IMAGE");
  if (image == nullptr) GTEST_SKIP() << "set LOCKSTEP_SCHEDULED_IMAGE to an image";
  const auto hunt = hunt_schedules({.open = open_hosted(image, "hosted"), .seconds = 1});
  EXPECT_EQ(hunt.end, ScheduleHunt::End::nothing) << hunt.title;
  EXPECT_GT(hunt.schedules, 0u);
}

}  // namespace
}  // namespace lockstep::jobs
