// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/schedule_hunt.h"

#include <gtest/gtest.h>

#include "jobs/schedules.h"
#include "jobs/test_systems.h"

namespace lockstep::jobs {
namespace {

using namespace std::chrono_literals;
using End = ScheduleHunt::End;

ScheduleHunt hunt(const std::vector<std::pair<std::string_view, test::Wrong>>& systems) {
  return hunt_schedules({.open = test::open(systems), .seconds = 0.05, .patience = 1s});
}

TEST(ScheduleHunt, SpendsItsSecondsOnEachSystem) {
  const auto found = hunt({{"one", test::fine}, {"two", test::fine}, {"three", test::fine}});
  EXPECT_EQ(found.end, End::nothing) << found.title;
  // As many as were opened.
  EXPECT_DOUBLE_EQ(found.limit_seconds, 3 * 0.05);
  EXPECT_GE(found.cpu_seconds, found.limit_seconds);
  EXPECT_GT(found.schedules, 0u);
}

TEST(ScheduleHunt, AFailureIsFoundAgainFromItsText) {
  const auto found = hunt({{"warns", test::warn}});
  EXPECT_EQ(found.end, End::found);
  EXPECT_EQ(found.kind, "warning");
  EXPECT_EQ(found.commands, 2u);
  EXPECT_NE(found.saved.find("expect warning"), std::string::npos);
}

TEST(ScheduleHunt, ACrashAndAHangAreFoundWithTheirSchedules) {
  const auto crashed = hunt({{"crashes", test::crash}});
  EXPECT_EQ(crashed.end, End::found);
  EXPECT_EQ(crashed.kind, "crash");
  EXPECT_NE(crashed.saved.find(" update value #"), std::string::npos) << crashed.saved;
  const auto hung = hunt({{"hangs", test::spin}});
  EXPECT_EQ(hung.end, End::found);
  EXPECT_EQ(hung.kind, "hang");
}

TEST(ScheduleHunt, WhatIsFoundOnceAndNotAgainIsNotFound) {
  const auto once = hunt({{"once", [](auto& runner, unsigned runs) {
                             if (runs == 30) test::warn(runner, runs);
                           }}});
  EXPECT_EQ(once.end, End::not_again);
  EXPECT_EQ(once.title, "somebody came between");
  const auto crashed = hunt({{"once", [](auto& runner, unsigned runs) {
                                if (runs == 30) test::crash(runner, runs);
                              }}});
  EXPECT_EQ(crashed.end, End::not_again);
  EXPECT_EQ(crashed.kind, "crash");
}

TEST(ScheduleHunt, ACrashWhileItBecomesSmallerLeavesTheFirst) {
  const auto smaller = [](auto& runner, unsigned runs) {
    runs <= 2 ? test::warn(runner, runs) : test::crash(runner, runs);
  };
  const auto found = hunt({{"shrinks", smaller}});
  EXPECT_EQ(found.end, End::found);
  EXPECT_EQ(found.kind, "warning");
}

TEST(ScheduleHunt, AnInterruptEndsIt) {
  const std::atomic<bool> stop{true};
  const auto found = hunt_schedules(
      {.open = test::open({{"stands", test::fine}}), .seconds = 3600, .stop = &stop});
  EXPECT_EQ(found.end, End::error);
  EXPECT_EQ(found.title, "interrupted");
}

TEST(ScheduleHunt, TheMachineIsNoFinding) {
  EXPECT_EQ(hunt({{"killed", test::killed}}).end, End::error);
  const auto unopened = hunt_schedules({.open = []() -> tl::expected<OpenedSystems, std::string> {
    return tl::unexpected(std::string("no image"));
  }});
  EXPECT_EQ(unopened.end, End::error);
  EXPECT_EQ(unopened.title, "no image");
}

}  // namespace
}  // namespace lockstep::jobs
