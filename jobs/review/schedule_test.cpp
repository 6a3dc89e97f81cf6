// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/schedule.h"

#include <gtest/gtest.h>

#include <fstream>

#include "jobs/test_systems.h"

namespace lockstep::jobs::review {
namespace {

OpenSystems one(const test::Wrong& wrong) { return test::open({{"counter", wrong}}); }

struct Searched {
  ScheduleReport report;
  std::optional<ReviewFinding> finding;
};

Searched searched(const OpenSystems& base, const OpenSystems& patched) {
  Searched result;
  ScheduleSearch search;
  search.base = base;
  search.patched = patched;
  search.budget = std::chrono::milliseconds(500);
  search.failures = testing::TempDir() + "lockstep-review-schedule";
  search.subject = "KVM: Do it faster";
  result.report.asked = true;
  result.finding = search_schedules(search, result.report);
  return result;
}

TEST(ReviewSchedules, WhatOnlyThePatchedKernelShowsIsAFinding) {
  const auto [report, finding] = searched(one(test::fine), one(test::warn));
  ASSERT_TRUE(finding);
  EXPECT_EQ(finding->kind, ReviewFinding::Kind::schedule);
  EXPECT_EQ(finding->title, "warning: somebody came between");
  EXPECT_NE(finding->page.find("thread 0"), std::string::npos) << finding->page;
  std::ifstream file(finding->path);
  const std::string saved(std::istreambuf_iterator<char>(file), {});
  EXPECT_NE(saved.find("expect warning"), std::string::npos) << saved;
  EXPECT_NE(saved.find("# lockstep"), std::string::npos) << saved;
  EXPECT_TRUE(report.not_run.empty() && report.masked.empty() && report.unconfirmed.empty());
}

TEST(ReviewSchedules, WhatTheBaseShowsTooIsNone) {
  const auto [report, finding] = searched(one(test::warn), one(test::warn));
  EXPECT_FALSE(finding);
  EXPECT_EQ(report.masked, "somebody came between");
  EXPECT_NE(text_of(report).find("the base shows it too"), std::string::npos);
}

TEST(ReviewSchedules, WhatDoesNotComeAgainIsNone) {
  const auto once = [](props::schedule::Runner& runner, unsigned runs) {
    if (runs == 30) test::warn(runner, runs);
  };
  const auto [report, finding] = searched(one(test::fine), one(once));
  EXPECT_FALSE(finding);
  EXPECT_EQ(report.unconfirmed, "somebody came between");
}

TEST(ReviewSchedules, ACleanPatchSaysHowManyWereRun) {
  const auto [report, finding] = searched(one(test::fine), one(test::fine));
  EXPECT_FALSE(finding);
  EXPECT_GT(report.schedules, 0u);
  EXPECT_NE(text_of(report).find(" of the patched kernel's CPUs"), std::string::npos);
}

TEST(ReviewSchedules, ABaseThatCannotBeAskedLeavesItOpen) {
  const OpenSystems none = []() -> tl::expected<OpenedSystems, std::string> {
    return tl::unexpected(std::string("no image"));
  };
  const auto [report, finding] = searched(none, one(test::warn));
  EXPECT_FALSE(finding);
  EXPECT_EQ(report.not_run, "the base could not be asked about: somebody came between");
}

TEST(ReviewSchedules, WhatCannotBeOpenedIsSaid) {
  const OpenSystems none = []() -> tl::expected<OpenedSystems, std::string> {
    return tl::unexpected(std::string("no image"));
  };
  const auto [report, finding] = searched(one(test::fine), none);
  EXPECT_FALSE(finding);
  EXPECT_EQ(report.not_run, "no image");
  EXPECT_NE(text_of(report).find("schedules no"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::jobs::review
