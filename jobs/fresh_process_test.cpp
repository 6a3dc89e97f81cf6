// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/fresh_process.h"

#include <gtest/gtest.h>

#include "jobs/schedules.h"
#include "jobs/test_systems.h"
#include "props/schedule/schedulers.h"

namespace lockstep::jobs {
namespace {

using namespace std::chrono_literals;
using props::Verdict;
namespace schedule = props::schedule;
using schedule::FailureKind;

/// A run that ends with what somebody does to it when everything is taken down.
class EndsWith final : public schedule::SystemBody {
 public:
  EndsWith(const schedule::System& system, schedule::Runner& runner, unsigned defect,
           const schedule::Threads& threads, const test::Wrong& wrong)
      : SystemBody(system, runner, defect, threads), wrong_(wrong) {}
  void tear_down() override { wrong_(runner(), 1); }

 protected:
  void command(schedule::Command) override {
    runner().atomic(tag_, lockstep::schedule::Access::update, std::memory_order_relaxed);
  }

 private:
  const test::Wrong& wrong_;
  lockstep::schedule::Tag tag_{"value"};
};

OpenSystems open(const test::Wrong& wrong) {
  struct Owner {
    std::array<schedule::Verb, 1> verbs{schedule::Verb{.name = "add"}};
    schedule::System system;
    test::Wrong wrong;
  };
  return [wrong]() -> tl::expected<OpenedSystems, std::string> {
    const auto owner = std::make_shared<Owner>();
    owner->wrong = wrong;
    schedule::System& system = owner->system;
    system.name = "ends";
    system.title = "a counter";
    system.property = "its end is quiet";
    system.verbs = owner->verbs;
    system.make = [&system, owner = owner.get()](schedule::Runner& runner, unsigned defect,
                                                 const schedule::Threads& threads) {
      return std::make_unique<EndsWith>(system, runner, defect, threads, owner->wrong);
    };
    return OpenedSystems{.owner = owner, .systems = {&system, 1}};
  };
}

/// What a fresh process says of a run that is quiet here.
schedule::Audit audit(const test::Wrong& there, std::chrono::milliseconds patience = 20s) {
  auto fresh = FreshProcess::start(open(there), patience);
  EXPECT_TRUE(fresh) << fresh.error();
  const auto opened = open(test::fine)();
  const schedule::System& system = opened->systems.front();
  const schedule::Threads threads(2, {schedule::Command{}});
  schedule::Runner runner;
  schedule::RandomWalk walk(1);
  walk.begin();
  const auto& outcome =
      runner.execute(walk, [&] { return system.make(runner, schedule::no_defect, threads); });
  EXPECT_FALSE(outcome.failure);
  return fresh->compare(system, threads, outcome);
}

void leak(schedule::Runner& runner, unsigned) { runner.report(FailureKind::leak, "one page"); }

TEST(FreshProcess, SeesTheSameRun) {
  const auto same = audit(test::fine);
  ASSERT_TRUE(same) << same.error();
  EXPECT_FALSE(*same);
}

// What the first run of a process has leaked, later ones find there.
TEST(FreshProcess, TellsALeakAtTheEndThatIsOnlyItsOwn) {
  const auto leaks = audit(leak);
  ASSERT_TRUE(leaks) << leaks.error();
  ASSERT_TRUE(*leaks);
  EXPECT_EQ((*leaks)->kind, FailureKind::leak);
  EXPECT_EQ((*leaks)->text, "in a fresh process: one page");
}

TEST(FreshProcess, ACrashThereIsAFailure) {
  const auto crashes = audit(test::crash);
  ASSERT_TRUE(crashes) << crashes.error();
  ASSERT_TRUE(*crashes);
  EXPECT_EQ((*crashes)->kind, FailureKind::crash);
}

TEST(FreshProcess, TheMachineIsNoFailure) {
  const auto late = audit(test::sleep, 200ms);
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().find("no answer"), std::string::npos) << late.error();
  const auto killed = audit(test::killed);
  ASSERT_FALSE(killed);
  EXPECT_NE(killed.error().find("signal 9"), std::string::npos) << killed.error();
}

class Audited : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove_all(folder_); }
  /// A search whose audits say this.
  SchedulesReport run(const schedule::Audit& audit) {
    SchedulesOptions options;
    options.budget = 20s;
    options.failures = folder_;
    options.systems = {"ends"};
    options.open = [&] {
      auto opened = open(test::fine)();
      opened->audit = [&](const auto&...) { return audit; };
      return opened;
    };
    return run_schedules(options);
  }
  std::filesystem::path folder_ = std::filesystem::temp_directory_path() /
                                  ("lockstep-audited-test-" + std::to_string(getpid()));
};

TEST_F(Audited, ADifferenceIsAFinding) {
  const auto report = run(schedule::Failure{.kind = FailureKind::leak, .text = "one page"});
  EXPECT_EQ(report.verdict, Verdict::fail) << report.reason;
  ASSERT_EQ(report.systems[0].findings.size(), 1u);
  EXPECT_EQ(report.systems[0].findings[0].kind, "leak");
  EXPECT_TRUE(report.systems[0].findings[0].unsteady);
}

TEST_F(Audited, AnAuditThatFailsHasNoVerdict) {
  const auto report = run(tl::unexpected(std::string("no answer")));
  EXPECT_EQ(report.verdict, Verdict::no_verdict) << report.reason;
  EXPECT_EQ(report.reason, "ends: no answer");
  EXPECT_TRUE(report.systems[0].findings.empty());
  EXPECT_EQ(report.systems[0].tally.schedules, 1000u);
}

}  // namespace
}  // namespace lockstep::jobs
