// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/stages.h"

#include <gtest/gtest.h>

#include "props/schedule/saved.h"

namespace lockstep::props::schedule {
namespace {

Saved run(std::vector<Stage> stages) {
  auto saved = parse_saved(
      "lockstep-schedule 1\nsystem page-caches\nthread 0: fault 0\nthread 1: fault 1; fault 1\n");
  Runner runner;
  Stages scheduler(runner, std::move(stages));
  Recorder recorder(runner, scheduler);
  recorder.begin();
  const auto& outcome = runner.execute(
      recorder, [&] { return saved->system->make(runner, saved->defect, saved->threads); });
  EXPECT_FALSE(outcome.failure);
  saved->turns = recorder.turns();
  return *saved;
}

TEST(Stages, GoAsFarAsTheySay) {
  const auto saved = run({{.thread = 1, .label = "lock cache-lock.1", .nth = 2},
                          {.thread = 0, .label = "lock mmu-lock.0"},
                          {.thread = 1, .label = ""}});
  const std::vector<Turn> turns = {
      {.thread = main_thread, .label = "begin", .run = 1},
      {.thread = 1, .label = "lock cache-lock.1", .occurrence = 2, .run = 0},
      {.thread = 0, .label = "lock mmu-lock.0", .occurrence = 1, .run = 1}};
  EXPECT_EQ(saved.turns, turns) << print(saved);
  // The turns do the same again.
  Runner runner;
  EXPECT_FALSE(replay(runner, saved, /*trace=*/false).missed);
}

TEST(Stages, EndWhereAThreadCannotGoOn) {
  const auto saved = run({{.thread = 0, .label = "no such step"}, {.thread = 7, .label = ""}});
  EXPECT_TRUE(saved.turns.empty()) << print(saved);
}

}  // namespace
}  // namespace lockstep::props::schedule
