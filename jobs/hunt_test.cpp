// SPDX-License-Identifier: GPL-2.0-or-later
/// Which findings detect a mutant, with a campaign that only pretends.
#include "jobs/hunt.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace lockstep::jobs {
namespace {

using namespace std::chrono_literals;

props::CampaignFinding finding(const std::string& title) {
  props::CampaignFinding found;
  found.finding.engine = "hosted:6.1";
  found.finding.title = title;
  return found;
}

/// Tells these findings, one a tick, until it is stopped.
struct Fake {
  std::vector<std::string> titles;
  double seconds_a_tick = 1;
  double cpu = 0;
  std::size_t ticks = 0;
  props::CampaignResult result = {};
  std::optional<props::CampaignResult> again = {};  ///< of the second campaign
  unsigned campaigns = 0;

  HuntWorld world(std::set<std::string> of_base = {}) {
    HuntWorld world;
    world.engine = "hosted:6.1";
    campaigns = 0;
    world.cpu_seconds = [this] { return cpu; };
    world.trial = [this, of_base](const props::CampaignFinding& found) {
      cpu += 100;
      return Trial{.on_base = of_base.contains(found.finding.title),
                   .again = found.finding.title != "once",
                   .cpu_seconds = 100};
    };
    world.campaign = [this](const props::CampaignOptions& options) {
      for (const auto& title : titles) {
        if (options.stop->load()) break;
        ++ticks;
        cpu += seconds_a_tick;
        if (!title.empty()) options.found(finding(title));
        options.progress({});
      }
      return ++campaigns == 2 && again ? *again : result;
    };
    return world;
  }
};

props::CampaignOptions options() {
  props::CampaignOptions made;
  made.budget = 1000ms;
  return made;
}

TEST(Hunt, AnAnswerThatTheTextDoesNotExpectIsNoDefect) {
  props::Outcome outcome;
  EXPECT_FALSE(fails(outcome));
  outcome.finding.emplace();
  outcome.finding->kind = props::FindingKind::expectation;
  EXPECT_FALSE(fails(outcome));
  outcome.finding->kind = props::FindingKind::refused;
  EXPECT_TRUE(fails(outcome));
}

TEST(Hunt, StopsAtTheFirstFinding) {
  Fake fake{.titles = {"", "", "bug", "other"}};
  std::set<std::string> known;
  const auto found = hunt(options(), 60s, known, fake.world());
  ASSERT_TRUE(found.detection);
  EXPECT_EQ(found.detection->finding.title, "bug");
  EXPECT_EQ(fake.ticks, 3u);
  // What the question to the base costs is not the mutant's.
  EXPECT_DOUBLE_EQ(found.cpu_seconds, 3);
  EXPECT_TRUE(known.empty());
}

TEST(Hunt, WhatTheBaseShowsDetectsNothing) {
  Fake fake{.titles = {"known", "shown", "shown", "bug"}};
  std::set<std::string> known = {finding("known").finding.key()};
  const auto found = hunt(options(), 60s, known, fake.world({"shown"}));
  ASSERT_TRUE(found.detection);
  EXPECT_EQ(found.detection->finding.title, "bug");
  EXPECT_EQ(found.excluded, 3u);
  EXPECT_EQ(found.masked, "shown");
  EXPECT_TRUE(known.contains(finding("shown").finding.key()));
  // The base was asked for "shown" and "bug", once each.
  EXPECT_DOUBLE_EQ(fake.cpu, 204);
}

TEST(Hunt, WhatIsNotSeenAgainDetectsNothing) {
  Fake fake{.titles = {"once", "", ""}};
  std::set<std::string> known;
  const auto found = hunt(options(), 60s, known, fake.world());
  EXPECT_FALSE(found.detection);
  EXPECT_EQ(found.unconfirmed, "once");
  EXPECT_TRUE(known.empty());
  EXPECT_DOUBLE_EQ(found.cpu_seconds, 3);
}

TEST(Hunt, EndsWithItsBudgetOfCpuTime) {
  Fake fake{.titles = std::vector<std::string>(100)};
  std::set<std::string> known;
  const auto found = hunt(options(), 20s, known, fake.world());
  EXPECT_FALSE(found.detection);
  EXPECT_EQ(fake.ticks, 20u);
  EXPECT_DOUBLE_EQ(found.cpu_seconds, 20);
  EXPECT_EQ(found.broken, "");
}

TEST(Hunt, AnEngineThatGivesUpTwiceIsNamed) {
  Fake fake{.titles = {""}};
  fake.result.reason = "hosted:6.1: no";
  fake.result.gave_up = "hosted:6.1";
  fake.result.case_seconds = 0.1;
  std::set<std::string> known;
  const auto found = hunt(options(), 60s, known, fake.world());
  EXPECT_EQ(found.gave_up, "hosted:6.1: no");
  EXPECT_EQ(found.broken, "");
  EXPECT_EQ(fake.campaigns, 2u);
  fake.result.case_seconds = 1.1;
  EXPECT_EQ(hunt(options(), 60s, known, fake.world()).gave_up, "");
}

TEST(Hunt, AnotherEndBeforeTheTimeIsNotTheEngines) {
  Fake fake{.titles = {""}};
  fake.result.reason = "no shared memory";
  fake.result.case_seconds = 0.1;
  std::set<std::string> known;
  for (const auto* who : {"", "spec"}) {
    fake.result.gave_up = who;
    const auto found = hunt(options(), 60s, known, fake.world());
    EXPECT_EQ(found.gave_up, "");
    EXPECT_EQ(found.broken, "no shared memory");
  }
  // The engine says so once, or where the base cannot be opened either.
  fake.result.gave_up = "hosted:6.1";
  fake.again = props::CampaignResult{};
  const auto once = hunt(options(), 60s, known, fake.world());
  EXPECT_EQ(once.gave_up, "");
  EXPECT_EQ(once.broken, "no shared memory");
  fake.again.reset();
  auto world = fake.world();
  world.base_opens = [] { return false; };
  const auto neither = hunt(options(), 60s, known, world);
  EXPECT_EQ(neither.gave_up, "");
  EXPECT_EQ(neither.broken, "no shared memory");
}

TEST(Hunt, AnInterruptIsNoAnswer) {
  Fake fake{.titles = std::vector<std::string>(100)};
  const std::atomic<bool> stop{true};
  auto asked = options();
  asked.stop = &stop;
  std::set<std::string> known;
  const auto found = hunt(asked, 60s, known, fake.world());
  EXPECT_TRUE(found.interrupted);
  EXPECT_EQ(fake.ticks, 1u);
}

TEST(Hunt, CountsTheTimeOfChildren) {
  const double before = cpu_seconds_of_children();
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    for (;;) asm volatile("");
  }
  while (cpu_seconds_of_children() <= before && waitpid(child, nullptr, WNOHANG) == 0) usleep(1000);
  EXPECT_GT(cpu_seconds_of_children(), before);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace lockstep::jobs
