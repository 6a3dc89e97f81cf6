// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/kernel_mutants.h"
#include "jobs/hunt.h"

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
  EXPECT_EQ(verdict_of(report({found, unreached, absent()})), Verdict::pass);
  EXPECT_EQ(verdict_of(report({found, unknown})), Verdict::no_verdict);
  EXPECT_EQ(reason_of(report({found, unknown})),
            "1 of 2 mutants reached, 1 detected, 1 not detected and perhaps not reached");
  EXPECT_EQ(verdict_of(report({found, missed})), Verdict::fail);
  EXPECT_EQ(verdict_of(report({unreached, unknown, absent()})), Verdict::no_verdict);
  EXPECT_EQ(verdict_of(report({})), Verdict::no_verdict);
}

TEST(KernelMutants, WhatCannotBeBuiltIsNoPass) {
  auto refused = row("refused", std::nullopt, false);
  refused.state = MutantRow::State::refused;
  refused.finding = "changes nothing, though f() is there";
  const auto made = report({row("found", true, true), refused});
  EXPECT_EQ(verdict_of(made), Verdict::no_verdict);
  EXPECT_EQ(reason_of(made), "1 of 1 mutants reached, 1 detected, 1 cannot be built");
  EXPECT_NE(text_report(made).find("f() is there"), std::string::npos) << text_report(made);
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

ScheduleHunt hunted(ScheduleHunt::End end, const std::string& kind) {
  ScheduleHunt hunt;
  hunt.end = end;
  hunt.kind = kind;
  hunt.title = kind.empty() ? "" : "it " + kind;
  hunt.saved = "lockstep-schedule 1\n";
  hunt.limit_seconds = 120;
  return hunt;
}

/// What the row becomes; `plain` is what the plain image shows in the same time, and
/// `replayed` what the saved schedule comes to there.
MutantRow told(const ScheduleHunt& mutant, const ScheduleHunt& plain,
               const ReplayedSchedule& replayed, unsigned* asked = nullptr) {
  MutantRow made;
  made.name = "mutant";
  tell(mutant,
       {.replay = [&](const std::string&) { return replayed; },
        .hunt =
            [&] {
              if (asked != nullptr) ++*asked;
              return plain;
            }},
       made);
  return made;
}

TEST(KernelMutants, SchedulesDetectWhatThePlainImageDoesNotShow) {
  using End = ScheduleHunt::End;
  const ReplayedSchedule passes{.verdict = Verdict::pass, .reason = {}, .ran = true};
  const ReplayedSchedule fails{.verdict = Verdict::fail, .ran = true, .kind = "leak"};
  const ReplayedSchedule lost{.verdict = Verdict::no_verdict, .reason = "fork"};
  const auto stands = hunted(End::nothing, "");
  unsigned asked = 0;
  EXPECT_TRUE(told(hunted(End::found, "leak"), stands, passes, &asked).detected);
  EXPECT_EQ(asked, 0u) << "a failure that is told needs no second hunt";
  EXPECT_EQ(told(hunted(End::found, "leak"), stands, fails).kind, "masked by the base");
  EXPECT_EQ(told(hunted(End::found, "leak"), stands, lost).state, MutantRow::State::no_verdict);
  for (const auto* deadly : {"crash", "hang"}) {
    const auto found = hunted(End::found, deadly);
    const auto row = told(found, stands, passes, &asked);
    EXPECT_TRUE(row.detected);
    EXPECT_EQ(row.reached, true);
    EXPECT_EQ(row.kind, deadly);
    // The plain image must have gone through the same.
    for (const auto* other : {"crash", "leak"}) {
      const auto masked = told(found, hunted(End::found, other), passes);
      EXPECT_FALSE(masked.detected);
      EXPECT_EQ(masked.kind, "masked by the base");
    }
    EXPECT_FALSE(told(found, hunted(End::not_again, "hang"), passes).detected);
    EXPECT_EQ(told(found, hunted(End::error, ""), passes).state, MutantRow::State::no_verdict);
    EXPECT_FALSE(told(found, stands, fails).detected);
  }
  EXPECT_EQ(asked, 2u);
}

TEST(KernelMutants, WhatIsNotSeenAgainAndTheMachineDetectNothing) {
  using End = ScheduleHunt::End;
  const ReplayedSchedule passes{.verdict = Verdict::pass, .reason = {}, .ran = true};
  const auto stands = hunted(End::nothing, "");
  const auto once = told(hunted(End::not_again, "warning"), stands, passes);
  EXPECT_FALSE(once.detected);
  EXPECT_EQ(once.kind, "not seen again");
  EXPECT_EQ(once.finding, "it warning");
  const auto machine = told(hunted(End::error, "forked"), stands, passes);
  EXPECT_FALSE(machine.detected);
  EXPECT_EQ(machine.state, MutantRow::State::no_verdict);
  EXPECT_EQ(machine.finding, "it forked");
  // Neither is a pass.
  const auto made = report({row("found", true, true), machine});
  EXPECT_EQ(verdict_of(made), Verdict::no_verdict);
  EXPECT_NE(reason_of(made).find("1 without a verdict"), std::string::npos);
  EXPECT_NE(text_report(made).find("\nno verdict "), std::string::npos) << text_report(made);
  EXPECT_EQ(json_rows(made)[1]["state"], "no-verdict");
}

TEST(KernelMutants, OnlyAnEngineThatGaveUpDetectsByIt) {
  Hunt gave_up;
  gave_up.gave_up = "hosted:6.1: a vCPU does not start";
  MutantRow detected;
  tell(gave_up, detected);
  EXPECT_TRUE(detected.detected);
  EXPECT_EQ(detected.kind, "broken");
  Hunt machine;
  machine.broken = "no shared memory";
  MutantRow without;
  tell(machine, without);
  EXPECT_FALSE(without.detected);
  EXPECT_EQ(without.state, MutantRow::State::no_verdict);
  EXPECT_EQ(without.finding, "no shared memory");
}

TEST(KernelMutants, ARowOfSchedulesSaysWhatItMightUse) {
  const auto shown = told(hunted(ScheduleHunt::End::nothing, ""),
                          hunted(ScheduleHunt::End::nothing, ""), ReplayedSchedule{});
  EXPECT_NE(text_report(report({shown})).find("of at most 120 CPU s: the budget once a system"),
            std::string::npos);
  EXPECT_EQ(json_rows(report({shown}))[0]["limit_seconds"], 120);
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
