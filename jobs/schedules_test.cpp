// SPDX-License-Identifier: GPL-2.0-or-later
/// Searches that their process does not outlive.
#include "jobs/schedules.h"

#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>
#include <thread>

#include "jobs/test_systems.h"

namespace lockstep::jobs {
namespace {

using namespace std::chrono_literals;
using props::Verdict;
namespace fs = std::filesystem;
namespace schedule = props::schedule;

class Schedules : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("lockstep-schedules-test-" + std::to_string(getpid()));
    options_.failures = folder_;
    options_.budget = 100ms;
    options_.patience = 1s;
  }
  void TearDown() override { fs::remove_all(folder_); }

  SchedulesReport run(const std::vector<std::pair<std::string_view, test::Wrong>>& systems) {
    for (const auto& [name, wrong] : systems) options_.systems.emplace_back(name);
    options_.open = test::open(systems);
    return run_schedules(options_);
  }

  std::string text(const fs::path& path) {
    std::ifstream stream(path);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  fs::path folder_;
  SchedulesOptions options_;
};

TEST_F(Schedules, ACrashIsAFindingWithTheScheduleThatCausedIt) {
  const auto report = run({{"crashes", test::crash}, {"stands", test::fine}});
  EXPECT_EQ(report.verdict, Verdict::fail);
  EXPECT_EQ(report.reason, "1 of 2 systems fail");
  ASSERT_EQ(report.systems.size(), 2u);
  EXPECT_GT(report.systems[1].tally.schedules, 0u) << "the others still run";
  EXPECT_TRUE(report.systems[1].findings.empty());
  ASSERT_EQ(report.systems[0].findings.size(), 1u);
  const auto& finding = report.systems[0].findings[0];
  EXPECT_EQ(finding.kind, "crash");
  EXPECT_TRUE(finding.title.starts_with("crashed under this schedule: signal 11")) << finding.title;
  EXPECT_FALSE(finding.unsteady);
  EXPECT_GT(report.systems[0].tally.schedules, 0u);
  EXPECT_EQ(finding.path, folder_ / "crashes-crash.schedule");
  const auto saved = text(finding.path);
  EXPECT_NE(saved.find("\n# crash: crashed under this schedule"), std::string::npos) << saved;
  EXPECT_NE(saved.find(" update value #"), std::string::npos) << saved;
  EXPECT_NE(saved.find("\nexpect crash\n"), std::string::npos) << saved;
  const auto page = text_report(report);
  EXPECT_NE(page.find("\n>> crash: crashed under this schedule"), std::string::npos) << page;
  EXPECT_NE(page.find("must hold: nobody comes between"), std::string::npos) << page;
  EXPECT_EQ(json_report(report)["findings"][0]["kind"], "crash");

  const auto again = replay_in_child(saved, options_.open, options_.patience);
  EXPECT_EQ(again.verdict, Verdict::fail);
  EXPECT_EQ(again.kind, "crash");
  EXPECT_EQ(again.system, "crashes");
  EXPECT_NE(again.page.find(" update value #"), std::string::npos) << again.page;
  // Where nothing crashes the same text passes.
  const auto repaired =
      replay_in_child(saved, test::open({{"crashes", test::fine}}), options_.patience);
  EXPECT_EQ(repaired.verdict, Verdict::pass) << repaired.reason;
}

// Kernels take many more steps than models.
TEST_F(Schedules, ALongScheduleIsKeptWhole) {
  options_.systems = {"crashes"};
  options_.open = test::open({{"crashes", test::crash}}, {.steps = 8000, .before = 12'000});
  options_.budget = 30s;
  options_.patience = 30s;
  const auto report = run_schedules(options_);
  EXPECT_EQ(report.verdict, Verdict::fail) << report.reason;
  ASSERT_EQ(report.systems[0].findings.size(), 1u);
  const auto& finding = report.systems[0].findings[0];
  EXPECT_EQ(finding.kind, "crash");
  EXPECT_FALSE(finding.unsteady);
  const auto again = replay_in_child(text(finding.path), options_.open, options_.patience);
  EXPECT_EQ(again.kind, "crash") << again.reason;
}

TEST_F(Schedules, AScheduleThatDoesNotComeBackIsAFinding) {
  for (const test::Wrong wrong : {test::spin, test::sleep}) {
    options_.systems.clear();
    const auto report = run({{"hangs", wrong}});
    EXPECT_EQ(report.verdict, Verdict::fail) << report.reason;
    ASSERT_EQ(report.systems[0].findings.size(), 1u);
    const auto& finding = report.systems[0].findings[0];
    EXPECT_EQ(finding.kind, "hang");
    EXPECT_EQ(finding.title, "did not come back from this schedule");
    EXPECT_FALSE(finding.unsteady);
    const auto saved = text(finding.path);
    EXPECT_NE(saved.find("\nexpect hang\n"), std::string::npos) << saved;
    const auto again = replay_in_child(saved, options_.open, options_.patience);
    EXPECT_EQ(again.verdict, Verdict::fail);
    EXPECT_EQ(again.kind, "hang");
  }
}

TEST_F(Schedules, ExhaustiveSearchTellsACrashToo) {
  options_.exhaustive = true;
  const auto report = run({{"crashes", test::crash}});
  EXPECT_EQ(report.verdict, Verdict::fail);
  ASSERT_EQ(report.systems[0].findings.size(), 1u);
  EXPECT_FALSE(report.systems[0].findings[0].path.empty());
}

TEST_F(Schedules, WhatFailsIsSavedBeforeItBecomesSmaller) {
  // The search meets it, and once more to write it down.
  const auto report = run({{"shrinks", [](auto& runner, unsigned runs) {
                              runs <= 2 ? test::warn(runner, runs) : test::crash(runner, runs);
                            }}});
  EXPECT_EQ(report.verdict, Verdict::fail);
  ASSERT_EQ(report.systems[0].findings.size(), 2u);
  EXPECT_EQ(report.systems[0].findings[0].kind, "warning");
  EXPECT_TRUE(fs::exists(folder_ / "shrinks-warning.schedule"));
  EXPECT_NE(report.systems[0].findings[0].page.find(">> warning: somebody"), std::string::npos);
  // Another process has not failed twice before.
  EXPECT_EQ(report.systems[0].findings[1].kind, "crash");
  EXPECT_TRUE(report.systems[0].findings[1].unsteady);
  const auto saved = text(folder_ / "shrinks-crash.schedule");
  EXPECT_NE(saved.find("depends on more than that"), std::string::npos) << saved;
}

TEST_F(Schedules, ABugTakesNoOthersPlace) {
  const auto warns = [](const char* text) {
    return [text](auto& runner, unsigned) { runner.report(schedule::FailureKind::warning, text); };
  };
  for (const char* const bug : {"line.c:1, page 7", "line.c:2, page 7", "line.c:1, page 8"}) {
    options_.systems.clear();
    EXPECT_EQ(run({{"warns", warns(bug)}}).verdict, Verdict::fail);
  }
  EXPECT_NE(text(folder_ / "warns-warning.schedule").find("line.c:1, page 8"), std::string::npos);
  EXPECT_NE(text(folder_ / "warns-warning-2.schedule").find("line.c:2"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "warns-warning-3.schedule"));
}

TEST_F(Schedules, AnInterruptKeepsWhatWasFound) {
  std::atomic<bool> stop{false};
  options_.stop = &stop;
  options_.budget = 1h;
  options_.progress = [&](std::string_view line) {
    if (line.find("one fails and becomes smaller") != line.npos) stop = true;
  };
  const auto begun = std::chrono::steady_clock::now();
  const auto report = run({{"slow",
                            [](auto& runner, unsigned runs) {
                              if (runs > 2) std::this_thread::sleep_for(200ms);
                              test::warn(runner, runs);
                            }},
                           {"stands", test::fine}});
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 20s);
  EXPECT_EQ(report.verdict, Verdict::fail);
  ASSERT_EQ(report.systems.size(), 1u);
  ASSERT_EQ(report.systems[0].findings.size(), 1u);
  EXPECT_EQ(report.systems[0].findings[0].kind, "warning");
  EXPECT_TRUE(fs::exists(report.systems[0].findings[0].path));
}

TEST_F(Schedules, AnInterruptWithoutAFindingHasNoPass) {
  std::atomic<bool> stop{false};
  options_.stop = &stop;
  options_.budget = 1h;
  options_.progress = [&](std::string_view) { stop = true; };
  const auto report = run({{"stands", test::fine}});
  EXPECT_EQ(report.verdict, Verdict::no_verdict);
  EXPECT_GT(report.systems[0].tally.programs, 0u) << "it answered";
}

TEST_F(Schedules, WhatNoScheduleHasDoneIsNoFinding) {
  const auto killed = run({{"killed", test::killed}});
  EXPECT_EQ(killed.verdict, Verdict::no_verdict);
  EXPECT_TRUE(killed.systems[0].findings.empty());
  EXPECT_NE(killed.reason.find("ended from outside"), std::string::npos) << killed.reason;

  options_.systems = {"any", "other"};
  options_.open = []() -> tl::expected<OpenedSystems, std::string> {
    return tl::unexpected(std::string("no image"));
  };
  const auto unopened = run_schedules(options_);
  EXPECT_EQ(unopened.verdict, Verdict::no_verdict);
  EXPECT_EQ(unopened.reason, "any: no image");

  options_.open = []() -> tl::expected<OpenedSystems, std::string> {
    throw std::runtime_error("x");
  };
  EXPECT_EQ(run_schedules(options_).verdict, Verdict::no_verdict);

  options_.open = []() -> tl::expected<OpenedSystems, std::string> {
    (void)std::signal(SIGSEGV, SIG_DFL);
    (void)std::raise(SIGSEGV);
    return tl::unexpected(std::string("it came back"));
  };
  const auto opening = run_schedules(options_);
  EXPECT_EQ(opening.verdict, Verdict::no_verdict);
  EXPECT_NE(opening.reason.find("while no schedule ran"), std::string::npos) << opening.reason;
}

TEST_F(Schedules, ReplayTellsWhatIsNoSchedule) {
  const auto open = test::open({{"stands", test::fine}});
  EXPECT_EQ(replay_in_child("lockstep-schedule 1\nsystem stnds\n", open).verdict,
            Verdict::input_error);
  const auto gone = replay_in_child(
      "lockstep-schedule 1\nsystem stands\nthread 0: add 0\nat 0 lock nothing #1 run 0\n", open);
  EXPECT_EQ(gone.verdict, Verdict::no_verdict);
  EXPECT_TRUE(gone.ran);
  EXPECT_EQ(replay_in_child("lockstep-schedule 1\nsystem stands\nthread 0: add 0\n", open).verdict,
            Verdict::pass);
}

}  // namespace
}  // namespace lockstep::jobs
