// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/kernel_mutants.h"

#include <gtest/gtest.h>

#include <sstream>

namespace lockstep::jobs {
namespace {

using props::Verdict;

MutantRow row(const std::string& name, std::optional<bool> reached, bool detected) {
  MutantRow made;
  made.name = name;
  made.reached = reached;
  made.detected = detected;
  made.kind = detected ? "refused" : "";
  made.finding = detected ? "read: another value" : "";
  made.cpu_seconds = 1.5;
  return made;
}

MutantRow absent() {
  auto made = row("absent-one", std::nullopt, false);
  made.state = MutantRow::State::absent;
  return made;
}

KernelMutantsReport report(std::vector<MutantRow> rows) {
  KernelMutantsReport made;
  made.engine = "hosted:6.1";
  made.release = "6.1.192";
  made.rows = std::move(rows);
  return made;
}

TEST(KernelMutants, PassOnlyIfAllThatWereReachedWereDetected) {
  const auto found = row("found", true, true);
  const auto missed = row("missed", true, false);
  const auto unreached = row("unreached", false, false);
  const auto unknown = row("unknown", std::nullopt, false);
  EXPECT_EQ(verdict_of(report({found, unreached, unknown, absent()})), Verdict::pass);
  EXPECT_EQ(verdict_of(report({found, missed})), Verdict::fail);
  EXPECT_EQ(verdict_of(report({unreached, unknown, absent()})), Verdict::no_verdict);
  EXPECT_EQ(verdict_of(report({})), Verdict::no_verdict);
}

TEST(KernelMutants, AReasonExcusesWhatNothingDetectsAndIsPrinted) {
  auto excused = row("excused", true, false);
  excused.why_not = "programs cannot write the entries of a ring, and what else it takes to pass";
  const auto made = report({row("found", true, true), excused});
  EXPECT_EQ(verdict_of(made), Verdict::pass);
  EXPECT_EQ(reason_of(made), "2 of 2 mutants reached, 1 detected, 1 cannot be yet");
  const auto text = text_report(made);
  EXPECT_NE(text.find("reached, cannot be detected yet"), std::string::npos) << text;
  EXPECT_NE(text.find("      programs cannot write the entries of a ring"), std::string::npos);
  // One that is detected after all makes its reason wrong.
  excused.detected = true;
  EXPECT_NE(text_report(report({excused})).find("though its file says"), std::string::npos);
}

TEST(KernelMutants, AnInterruptedRunHasNoPass) {
  auto cut = report({row("found", true, true)});
  cut.interrupted = true;
  EXPECT_EQ(verdict_of(cut), Verdict::no_verdict);
  cut.rows.push_back(row("missed", true, false));
  EXPECT_EQ(verdict_of(cut), Verdict::fail);
}

TEST(KernelMutants, TheTableFitsAMailAndBeginsWithWhatWasMissed) {
  auto full = report({row("found-flush", true, true), absent(), row("missed-flush", true, false),
                      row("unreached-flush", false, false)});
  full.base_findings = {"read: of the base"};
  const auto text = text_report(full);
  EXPECT_TRUE(text.starts_with("FAIL: 2 of 3 mutants reached, 1 detected, 1 reached and not"));
  EXPECT_LT(text.find("missed-flush"), text.find("unreached-flush"));
  EXPECT_LT(text.find("unreached-flush"), text.find("found-flush"));
  EXPECT_LT(text.find("found-flush"), text.find("absent-one"));
  EXPECT_NE(text.find("  read: of the base\n"), std::string::npos);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 72u) << line;
}

TEST(KernelMutants, RowsHaveTheKeysOfTheDesign) {
  const auto rows = json_rows(report({row("found", true, true), absent()}));
  for (const char* key : {"name", "engine", "reached", "detected", "cpu_seconds"}) {
    EXPECT_TRUE(rows[0].contains(key)) << key;
  }
  EXPECT_EQ(rows[0]["reached"], true);
  EXPECT_TRUE(rows[1]["reached"].is_null());
  EXPECT_EQ(rows[1]["state"], "absent");
}

}  // namespace
}  // namespace lockstep::jobs
