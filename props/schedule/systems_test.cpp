// SPDX-License-Identifier: GPL-2.0-or-later
/// Each system: what is right survives, and each defect is found, small, and
/// found again from its text.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "props/schedule/search.h"

namespace lockstep::props::schedule {
namespace {

struct Case {
  const System* system = nullptr;
  unsigned defect = no_defect;
};

std::vector<Case> all_defects() {
  std::vector<Case> cases;
  for (const System& system : systems()) {
    for (unsigned i = 0; i < system.defects.size(); ++i) cases.push_back({&system, i});
  }
  return cases;
}

std::vector<const System*> all_systems() {
  std::vector<const System*> all;
  for (const System& system : systems()) all.push_back(&system);
  return all;
}

std::string identifier(std::string_view name) {
  std::string text(name);
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

class EachDefect : public testing::TestWithParam<Case> {};

TEST_P(EachDefect, IsFoundAndShrunkAndReplayed) {
  const auto [system, defect] = GetParam();
  Runner runner;
  Tally tally;
  const auto first = search(runner, *system, defect, /*seed=*/1, {.seconds = 20}, tally);
  ASSERT_TRUE(first) << tally.schedules << " schedules";
  EXPECT_FALSE(first->unsteady);
  const Found found = shrink(runner, *first, tally);
  EXPECT_FALSE(found.unsteady);
  const std::string text = print(found.saved);
  std::size_t commands = 0;
  for (const auto& thread : found.saved.threads) commands += thread.size();
  EXPECT_LE(commands, system->defects[defect].commands) << text;
  EXPECT_LE(found.preemptions, 4u) << text;

  const auto parsed = parse_saved(text);
  ASSERT_TRUE(parsed) << parsed.error() << "\n" << text;
  EXPECT_EQ(print(*parsed), text);
  for (int i = 0; i < 100; ++i) {
    const Replayed again = replay(runner, *parsed, /*trace=*/false);
    ASSERT_FALSE(again.missed) << print(*again.missed) << "\n" << text;
    ASSERT_EQ(again.outcome.failure, found.failure) << text;
  }
  // The same threads without the defect are right.
  Saved repaired = *parsed;
  repaired.defect = no_defect;
  const auto covered = exhaust(runner, *system, no_defect, repaired.threads, 2, 20'000, tally);
  EXPECT_FALSE(covered.found) << covered.found->failure.text;
  if (std::getenv("SHOW") != nullptr) {
    const auto traced = replay(runner, *parsed, /*trace=*/true);
    printf("%s%s%llu schedules\n", text.c_str(),
           columns(traced.outcome, static_cast<unsigned>(parsed->threads.size())).c_str(),
           static_cast<unsigned long long>(tally.schedules));
  }
}

INSTANTIATE_TEST_SUITE_P(Schedules, EachDefect, testing::ValuesIn(all_defects()),
                         [](const auto& info) {
                           return identifier(info.param.system->defects[info.param.defect].name);
                         });

class EachSystem : public testing::TestWithParam<const System*> {};

TEST_P(EachSystem, SurvivesRandomSchedules) {
  Runner runner;
  Tally tally;
  const auto found =
      search(runner, *GetParam(), no_defect, /*seed=*/1, {.schedules = 20'000}, tally);
  ASSERT_FALSE(found) << found->failure.text << "\n"
                      << print(found->saved)
                      << columns(replay(runner, found->saved, true).outcome,
                                 static_cast<unsigned>(found->saved.threads.size()));
}

TEST_P(EachSystem, SurvivesAllSchedulesOfOneCommandEach) {
  Runner runner;
  Tally tally;
  const auto covered = exhaust_all(runner, *GetParam(), no_defect, /*threads=*/2, /*commands=*/1,
                                   /*preemptions=*/2, tally);
  EXPECT_TRUE(covered.complete);
  ASSERT_FALSE(covered.found) << covered.found->failure.text << "\n" << print(covered.found->saved);
}

INSTANTIATE_TEST_SUITE_P(Schedules, EachSystem, testing::ValuesIn(all_systems()),
                         [](const auto& info) { return identifier(info.param->name); });

}  // namespace
}  // namespace lockstep::props::schedule
