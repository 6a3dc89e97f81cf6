// SPDX-License-Identifier: GPL-2.0-or-later
/// That the counterexample of every protocol's twin becomes a schedule that fails, and
/// fails no more once the twin's defect is mended.
#include "jobs/protocol_schedules.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "smt/solver.h"
#include "smt/theorems/theorems.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;

std::vector<smt::Theorem> protocols() {
  std::vector<smt::Theorem> found;
  for (const auto& theorem : smt::theorems()) {
    if (std::holds_alternative<smt::ProtocolBody>(theorem.body)) found.push_back(theorem);
  }
  return found;
}

class ProtocolSchedules : public testing::TestWithParam<smt::Theorem> {
 protected:
  void SetUp() override {
    if (smt::solver_version().empty()) GTEST_SKIP() << "built without " << smt::solver_package;
    twin_ = smt::prove(GetParam(), smt::Side::broken_rule, {});
    ASSERT_EQ(twin_.result, smt::Result::refuted);
  }
  std::string told() const {
    std::string text;
    for (const auto& line : twin_.story) text += line + "\n";
    return text;
  }
  smt::Proof twin_;
};

TEST_P(ProtocolSchedules, TheCounterexampleFailsOnItsSystemWithTheDefectAlone) {
  const auto saved = schedule_of(GetParam(), smt::Side::broken_rule, twin_);
  ASSERT_TRUE(saved) << saved.error() << "\n" << told();
  EXPECT_EQ(saved->system->name, defect_of_twin(GetParam().name).system);
  // What counts is the text.
  const auto again = schedule::parse_saved(print(*saved));
  ASSERT_TRUE(again) << again.error() << "\n" << print(*saved);
  const auto both = replay_both(*again);
  EXPECT_TRUE(both.shows) << print(*saved) << both.page;
  EXPECT_TRUE(both.mended) << print(*saved);
}

TEST_P(ProtocolSchedules, AMendedTwinShowsNothing) {
  auto saved = schedule_of(GetParam(), smt::Side::broken_rule, twin_);
  ASSERT_TRUE(saved) << saved.error();
  saved->defect = schedule::no_defect;
  const auto both = replay_both(*saved);
  EXPECT_FALSE(both.shows);
  EXPECT_TRUE(both.mended) << both.page;
  // The rule itself stands in that order, which its system can follow.
  const auto whole = schedule_of(GetParam(), smt::Side::true_rule, twin_);
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error(), fmt::format("system {} is right in the order of the counterexample",
                                       saved->system->name));
}

INSTANTIATE_TEST_SUITE_P(Twins, ProtocolSchedules, testing::ValuesIn(protocols()),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           for (char& letter : name) letter = letter == '-' ? '_' : letter;
                           return name;
                         });

TEST(ProtocolSchedulesOf, EveryProtocolHasASystemAndADefect) {
  EXPECT_EQ(protocols().size(), 11u);
  for (const auto& theorem : protocols()) {
    const auto twin = defect_of_twin(theorem.name);
    const auto* system = schedule::find_system(twin.system);
    ASSERT_NE(system, nullptr) << theorem.name;
    EXPECT_TRUE(std::ranges::any_of(system->defects, [&](const schedule::Defect& defect) {
      return defect.name == twin.defect;
    })) << theorem.name;
  }
}

TEST(ProtocolSchedulesOf, WhatNoSystemModelsIsSaid) {
  smt::Theorem unknown;
  unknown.name = "nobody-models-it";
  unknown.body = smt::ProtocolBody([](smt::Side) { return smt::Protocol{}; });
  const auto saved = schedule_of(unknown, smt::Side::broken_rule, {});
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error(), "no system models it");
}

}  // namespace
}  // namespace lockstep::jobs
