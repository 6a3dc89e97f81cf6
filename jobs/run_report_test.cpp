// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/run_report.h"

#include <gtest/gtest.h>

namespace lockstep::jobs {
namespace {

props::CampaignResult failed() {
  props::CampaignResult result;
  result.verdict = props::Verdict::fail;
  result.reason = "1 finding";
  result.seed = 7;
  result.cases = 100;
  result.canary = {true, true, 3, ""};
  props::EngineTally engine;
  engine.name = "impl";
  engine.commands = 3000;
  engine.cases = 100;
  engine.reached = {{"access read", 12}, {"drawn programs", 8}, {"drawn tdp", 3}};
  engine.never_reached = {"invpcid"};
  engine.loosenesses = {{"stale-translation", 4}};
  engine.skipped = {{"lacks smm", 2}};
  result.engines = {engine};
  props::CampaignFinding finding;
  finding.finding.engine = "impl";
  finding.finding.title = "read: another value";
  finding.finding.command = "v0 cpl3 read 0x1000";
  finding.finding.sides = {{"spec", "0x1", "", false}, {"impl", "0x2", "no", true}};
  finding.finding.admitted = {"0x1"};
  finding.finding.walk = "the walk";
  finding.program.title = "read: another value";
  finding.path = "failures/x.lockstep";
  result.findings = {finding};
  return result;
}

TEST(RunReport, VerdictComesFirst) {
  EXPECT_TRUE(text_report(failed()).starts_with("FAIL: 1 finding\n"));
  props::CampaignResult pass;
  pass.verdict = props::Verdict::pass;
  EXPECT_TRUE(text_report(pass).starts_with("pass: "));
  pass.verdict = props::Verdict::no_verdict;
  EXPECT_TRUE(text_report(pass).starts_with("no verdict: "));
}

TEST(RunReport, ShowsAllSidesAndTheOddOne) {
  const auto text = text_report(failed());
  for (const auto* part :
       {"   spec   0x1\n", ">> impl   0x2\n", "the walk", "lockstep 1\n",
        "replay: lockstep replay failures/x.lockstep --engine impl", "access read",
        "of 8 programs, impl had: tdp 38 %", "never reached by impl: invpcid", "stale-translation",
        "skipped 2: lacks smm", "canary found after 3 cases"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(RunReport, JsonHasTheKeysOfTheDesign) {
  const auto json = json_report(failed());
  EXPECT_EQ(json.at("verdict"), "fail");
  EXPECT_EQ(json.at("exit"), 1);
  EXPECT_EQ(json.at("seed"), 7);
  ASSERT_TRUE(json.contains("seconds"));
  const auto& finding = json.at("findings").at(0);
  EXPECT_EQ(finding.at("engine"), "impl");
  EXPECT_EQ(finding.at("kind"), "refused");
  EXPECT_TRUE(finding.at("invariant").is_null());
  EXPECT_EQ(finding.at("program"), "failures/x.lockstep");
  EXPECT_EQ(finding.at("new"), true);
  const auto& engine = json.at("engines").at(0);
  EXPECT_EQ(engine.at("name"), "impl");
  EXPECT_EQ(engine.at("commands"), 3000);
  EXPECT_EQ(engine.at("reached").at("access read"), 12);
  EXPECT_EQ(engine.at("skipped").at("lacks smm"), 2);
  EXPECT_EQ(engine.at("loosenesses").at("stale-translation"), 4);
}

}  // namespace
}  // namespace lockstep::jobs
