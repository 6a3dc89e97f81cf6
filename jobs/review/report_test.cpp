// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/report.h"

#include <gtest/gtest.h>

#include "jobs/review/lines.h"
#include "jobs/wrapped.h"

namespace lockstep::jobs::review {
namespace {

constexpr const char* mmu = "arch/x86/kvm/mmu/mmu.c";

/// One patch that ran without a finding.
ReviewReport clean() {
  ReviewReport report;
  report.release = "6.1.0";
  PatchReport row;
  row.patch.subject = "KVM: x86/mmu: Do it better";
  row.tried = row.step.applies = row.relevant = true;
  row.step.diff = std::string("--- a/") + mmu + "\n+++ b/" + mmu +
                  "\n@@ -10,3 +10,3 @@ static int f(void)\n {\n-\treturn 1;\n+\treturn 2;\n }\n";
  row.compiles = true;
  row.programs = 10;
  row.reach.code = row.reach.reached = {{mmu, 11, false}};
  report.patches.push_back(row);
  return report;
}

ReviewFinding finding() {
  ReviewFinding made;
  made.title = "read: another value";
  made.seen.title = made.title;
  made.seen.step = 0;
  made.seen.command = "v0 cpl3 read 0x0";
  made.seen.sides = {{"base", "value 0x1", "", false}, {"patched", "value 0x2", "", true}};
  made.seen.admitted = {"value 0x1"};
  made.lines = {{mmu, 11, false}};
  made.program.title = "t";
  made.invariant = 19;
  return made;
}

TEST(Report, WordsOfAnEngineAreNotBroken) {
  auto made = finding();
  made.seen.sides[1].answer = "unexpected \"invariant 23: vCPU 0 keeps the obs\" \"olete root\"";
  const auto text = text_of(made);
  EXPECT_NE(text.find("keeps the obsolete"), std::string::npos) << text;
  EXPECT_EQ(text.find("\" \""), std::string::npos) << text;
}

TEST(Verdict, PassesWhatWasReached) {
  const auto report = clean();
  EXPECT_EQ(verdict_of(report), props::Verdict::pass);
  EXPECT_EQ(reason_of(report), "pass: 1 of 1 changed lines reached, 10 programs");
}

TEST(Verdict, WhatWasNotReachedIsNoPass) {
  auto report = clean();
  report.patches[0].reach.reached.clear();
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  report = clean();
  report.patches[0].relevant = false;
  report.patches[0].compiles.reset();
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  report = clean();
  report.patches[0].programs = 0;
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  report = clean();
  report.interrupted = true;
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
}

// A statement that became empty leaves no line to measure.
TEST(Verdict, WithoutLinesToMeasureTheMachineCodeDecides) {
  auto report = clean();
  report.patches[0].reach.code.clear();
  report.patches[0].reach.reached.clear();
  report.patches[0].same_code = true;
  EXPECT_EQ(verdict_of(report), props::Verdict::pass);
  EXPECT_EQ(reason_of(report), "pass: compiles to the same machine code; 10 programs as before");
  report.patches[0].same_code = false;
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
}

TEST(Verdict, BeginsWithWhatIsWrong) {
  auto report = clean();
  report.patches[0].step.applies = false;
  report.patches[0].step.why = "hunk 1\nnearest";
  EXPECT_EQ(reason_of(report), "does not apply: hunk 1");
  report.patches[0].step.why = "the patch does not apply to linux 6.1:\nmmu.c: is already so";
  EXPECT_EQ(reason_of(report), "does not apply: mmu.c: is already so");
  report = clean();
  report.patches[0].compiles = false;
  report.patches[0].diagnostics = {{mmu, 11, true, "incompatible types", true}};
  EXPECT_EQ(reason_of(report),
            "does not compile: arch/x86/kvm/mmu/mmu.c:11: error: incompatible types");
  report = clean();
  report.patches[0].cannot_run = "kvm_init() failed";
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
}

TEST(Verdict, DeclaredChangesPass) {
  auto report = clean();
  report.patches[0].findings = {finding()};
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
  EXPECT_EQ(reason_of(report), "FAIL: 1 finding: read: another value (invariant 19)");
  report.patches[0].findings[0].expected = true;
  EXPECT_EQ(verdict_of(report), props::Verdict::pass);
}

TEST(Verdict, SchedulesThatWereNotRunAreNoPass) {
  auto report = clean();
  report.patches[0].schedules.asked = true;
  report.patches[0].schedules.schedules = 7;
  EXPECT_EQ(reason_of(report), "pass: 1 of 1 changed lines reached, 10 programs, 7 schedules");
  report.patches[0].schedules.not_run = "no image";
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_EQ(reason_of(report), "no verdict: no schedules: no image");
  EXPECT_NE(ktap(report).find("# ERROR no image"), std::string::npos) << ktap(report);
}

TEST(Report, AScheduleStandsInItsColumns) {
  ReviewFinding made;
  made.kind = ReviewFinding::Kind::schedule;
  made.title = "warning: somebody came between";
  made.page = "  thread 0        thread 1\n  add\n";
  made.path = "failures/review-warning.schedule";
  const auto text = text_of(made);
  EXPECT_NE(text.find("schedule: warning: somebody came between"), std::string::npos) << text;
  EXPECT_NE(text.find("      thread 0        thread 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("schedule: failures/review-warning.schedule"), std::string::npos) << text;
  EXPECT_EQ(text.find("program:"), std::string::npos) << text;
}

TEST(Report, ALongScheduleIsCutInTheMiddle) {
  ReviewFinding made;
  made.kind = ReviewFinding::Kind::schedule;
  for (unsigned i = 0; i < 100; ++i) made.page += "turn " + std::to_string(i) + "\n";
  const auto text = text_of(made);
  EXPECT_NE(text.find("turn 29\n    ... 40 more; the file has them all\n    turn 70\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("turn 99\n"), std::string::npos) << text;
}

TEST(Verdict, ASeriesNamesItsPatch) {
  auto report = clean();
  report.patches.push_back(report.patches[0]);
  report.patches[1].compiles = false;
  report.patches[1].compile_error = "no rule\nmake";
  EXPECT_EQ(reason_of(report), "does not compile: patch 2 of 2: no rule");
}

TEST(Reply, PutsTheFindingBeneathItsHunk) {
  auto report = clean();
  report.patches[0].findings = {finding()};
  const auto text = reply(report);
  EXPECT_TRUE(text.starts_with("FAIL: 1 finding")) << text;
  const auto hunk = text.find("> +\treturn 2;\n>  }\n");
  const auto found = text.find("behaviour: read: another value");
  ASSERT_NE(hunk, std::string::npos) << text;
  ASSERT_NE(found, std::string::npos) << text;
  EXPECT_LT(hunk, found);
  EXPECT_NE(text.find(">> patched  value 0x2"), std::string::npos) << text;
  EXPECT_NE(text.find("invariant 19:"), std::string::npos) << text;
  for (const auto line : lines_of(text)) EXPECT_LE(line.size(), 72u) << line;
}

TEST(Json, HasTheKeysOfTheDesign) {
  auto report = clean();
  report.patches[0].findings = {finding()};
  const auto rows = json_patches(report);
  ASSERT_EQ(rows.size(), 1u);
  for (const char* key :
       {"subject", "applies", "compiles", "changed_lines", "reached_lines", "findings"}) {
    EXPECT_TRUE(rows[0].contains(key)) << key;
  }
  const auto findings = json_findings(report);
  ASSERT_EQ(findings.size(), 1u);
  for (const char* key : {"engine", "kind", "invariant", "title", "program", "new"}) {
    EXPECT_TRUE(findings[0].contains(key)) << key;
  }
  EXPECT_EQ(findings[0]["invariant"], 19);
}

TEST(Wrapped, BreaksAtSpaces) {
  EXPECT_EQ(wrapped("aa bb cc", 0, 5), "aa bb\n  cc\n");
  EXPECT_EQ(wrapped("aaaaaaaaaa b", 1, 5), " aaaaaaaaaa\n   b\n");
  EXPECT_EQ(wrapped("a\nb", 2), "  a\n  b\n");
}

TEST(Diagnostics, KnowTheirPlaceAndWhetherThePatchBroughtIt) {
  const std::vector<hw::kernels::ChangedLines> changed = {{mmu, {}, {7}}};
  const auto all = parse_diagnostics(
      "/t/arch/x86/kvm/mmu/mmu.c: In function 'f':\n"
      "/t/arch/x86/kvm/mmu/mmu.c:9:3: warning: unused variable 'x' [-Wunused-variable]\n"
      "/t/arch/x86/kvm/mmu/mmu.c:7:3: error: incompatible types\n"
      "../t/arch/x86/kvm/x86.c:1: error: later\n"
      "make[3]: *** [Makefile:1: x.o] Error 1\n"
      "/t/arch/x86/kvm/mmu/mmu.c:7:3: error: incompatible types\n",
      "/t", "/build", changed);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(print(all[0]), "arch/x86/kvm/mmu/mmu.c:7: error: incompatible types");
  EXPECT_TRUE(all[0].at_patch);
  EXPECT_EQ(all[1].file, "arch/x86/kvm/x86.c");
  EXPECT_FALSE(all[2].error);
  EXPECT_FALSE(all[2].at_patch);
}

TEST(Verdict, APatchOfASeriesThatNothingReachedIsNoPass) {
  auto report = clean();
  report.patches.push_back(report.patches[0]);
  EXPECT_EQ(verdict_of(report), props::Verdict::pass);
  report.patches[1].reach.reached.clear();
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_EQ(reason_of(report),
            "no verdict: patch 2 of 2: none of 1 changed lines with code was reached by 10 "
            "programs");
}

TEST(Verdict, WhatWasCutShortIsNoPass) {
  auto report = clean();
  report.patches[0].cut_short = "the search: an engine gave up";
  EXPECT_EQ(verdict_of(report), props::Verdict::no_verdict);
  EXPECT_NE(reason_of(report).find("an engine gave up"), std::string::npos);
}

TEST(Ktap, CountsEveryQuestionAndSkipsNone) {
  auto report = clean();
  const auto passed = ktap(report);
  EXPECT_TRUE(passed.starts_with("KTAP version 1\n1..1\n# pass: ")) << passed;
  EXPECT_NE(passed.find("\n  1..7\n"), std::string::npos) << passed;
  EXPECT_NE(passed.find("\n  ok 4 changed lines are reached\n"), std::string::npos) << passed;
  EXPECT_NE(passed.find("\nok 1 KVM: x86/mmu: Do it better\n"), std::string::npos) << passed;
  EXPECT_EQ(passed.find("not ok"), std::string::npos) << passed;
  report.patches[0].findings = {finding()};
  const auto failed = ktap(report);
  EXPECT_NE(failed.find("\n  not ok 5 behaviour: read: another value\n"), std::string::npos)
      << failed;
  EXPECT_NE(failed.find("\nnot ok 1 KVM"), std::string::npos) << failed;
  report.patches[0].findings[0].expected = true;
  EXPECT_NE(ktap(report).find("\n  ok 5 behaviour: read: another value # XFAIL declared"),
            std::string::npos)
      << ktap(report);
  // Lines are results, diagnostics or the frame's: a finding's text must not break out.
  for (const auto line : lines_of(failed)) {
    const auto text = trimmed(line);
    EXPECT_TRUE(text.starts_with("ok ") || text.starts_with("not ok ") || text.starts_with("#") ||
                text.starts_with("1..") || text == "KTAP version 1")
        << line;
  }
}

TEST(Ktap, WhatCouldNotBeAnsweredIsAnError) {
  auto report = clean();
  report.patches[0].reach.reached.clear();
  EXPECT_NE(ktap(report).find("\n  not ok 4 changed lines are reached # ERROR none was\n"),
            std::string::npos)
      << ktap(report);
  report.patches[0].step.applies = false;
  report.patches[0].step.why = "hunk #1\nok 9 forged";
  const auto text = ktap(report);
  EXPECT_NE(text.find("\n  # ok 9 forged\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n  1..1\n"), std::string::npos) << text;
}

TEST(Sarif, FindingsStandAtTheirLines) {
  auto report = clean();
  report.patches[0].findings = {finding()};
  const auto object = sarif(report);
  EXPECT_EQ(object["version"], "2.1.0");
  const auto& run = object["runs"][0];
  ASSERT_EQ(run["results"].size(), 1U);
  const auto& result = run["results"][0];
  EXPECT_EQ(result["ruleId"], "invariant-19");
  EXPECT_EQ(result["level"], "error");
  const auto& place = result["locations"][0]["physicalLocation"];
  EXPECT_EQ(place["artifactLocation"]["uri"], mmu);
  EXPECT_EQ(place["region"]["startLine"], 11);
  bool known = false;
  for (const auto& rule : run["tool"]["driver"]["rules"]) known |= rule["id"] == result["ruleId"];
  EXPECT_TRUE(known);
  EXPECT_EQ(run["invocations"][0]["executionSuccessful"], true);
}

TEST(Sarif, NoVerdictIsNoEmptySuccess) {
  auto report = clean();
  report.patches[0].reach.reached.clear();
  const auto object = sarif(report);
  EXPECT_TRUE(object["runs"][0]["results"].empty());
  const auto& invocation = object["runs"][0]["invocations"][0];
  EXPECT_EQ(invocation["executionSuccessful"], false);
  EXPECT_EQ(invocation["toolExecutionNotifications"][0]["message"]["text"], reason_of(report));
}

TEST(Html, MarksLinesAndEscapesWhatItQuotes) {
  auto report = clean();
  report.patches[0].patch.subject = "KVM: <script>alert(1)</script>";
  report.patches[0].findings = {finding()};
  const auto page = html(report);
  EXPECT_EQ(page.find("<script>"), std::string::npos) << page;
  EXPECT_NE(page.find("&lt;script&gt;"), std::string::npos);
  EXPECT_NE(page.find("<span class=\"add ran\">+\treturn 2;</span>"), std::string::npos) << page;
  // Beneath its hunk, once.
  const auto at = page.find("class=\"finding\"");
  EXPECT_GT(at, page.find("return 2;"));
  EXPECT_EQ(page.find("class=\"finding\"", at + 1), std::string::npos);
  report.patches[0].reach.never = report.patches[0].reach.reached;
  report.patches[0].reach.reached.clear();
  EXPECT_NE(html(report).find("class=\"add never\""), std::string::npos);
}

}  // namespace
}  // namespace lockstep::jobs::review
