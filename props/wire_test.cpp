// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/wire.h"

#include <gtest/gtest.h>

namespace lockstep::props {
namespace {

TEST(Wire, ObservationsComeBack) {
  const Observation all[] = {Done{},
                             Value{~0ull},
                             PageFault{7, 0xffff'8000'0000'1000},
                             Exception{13, 2},
                             Mmio{true, 0x3000'0000, 4, 9},
                             Errno{17},
                             DirtyBitmap{70, {1, 2}},
                             Translation{},
                             Translation{0x1000},
                             InternalError{1},
                             Livelock{64},
                             Unexpected{"exit 8"},
                             DirtyPages{},
                             DirtyPages{{{1, {1, 2}}, {7, {4}}}}};
  for (const auto& observation : all) {
    EXPECT_EQ(observation_from(nlohmann::json::parse(text_of(to_wire(observation)))), observation)
        << text_of(to_wire(observation));
  }
}

TEST(Wire, OutcomesComeBack) {
  Outcome outcome;
  outcome.verdict = Verdict::fail;
  outcome.reason = "because";
  outcome.skips = {{"kvm", "lacks smm"}};
  outcome.commands = 12;
  outcome.ran = 3;
  Finding finding;
  finding.kind = FindingKind::teardown;
  finding.engine = "impl";
  finding.title = "broken \xff text";
  finding.step = 4;
  finding.sides = {{"impl", "0x1", "no", true}};
  finding.admitted = {"0x2"};
  finding.unique = Value{2};
  finding.spec_suspect = true;
  outcome.finding = finding;
  const auto back = outcome_from(nlohmann::json::parse(text_of(to_wire(outcome))));
  EXPECT_EQ(back.verdict, outcome.verdict);
  EXPECT_EQ(back.skips[0].reason, "lacks smm");
  EXPECT_EQ(back.ran, 3u);
  ASSERT_TRUE(back.finding);
  EXPECT_EQ(back.finding->kind, finding.kind);
  EXPECT_EQ(back.finding->step, finding.step);
  EXPECT_EQ(back.finding->sides, finding.sides);
  EXPECT_EQ(back.finding->unique, finding.unique);
  EXPECT_TRUE(back.finding->spec_suspect);
}

TEST(Wire, WhatIsNoOutcomeIsNone) {
  Outcome outcome;
  outcome.ran = 3;
  EXPECT_EQ(read_outcome(text_of(to_wire(outcome))).value().ran, 3u);
  EXPECT_FALSE(read_outcome("{"));
  EXPECT_FALSE(read_outcome("{}"));
  EXPECT_FALSE(read_outcome("[1]"));
  EXPECT_FALSE(read_outcome(R"({"verdict": "pass"})"));
}

TEST(Wire, PlatformsComeBack) {
  Platform platform;
  platform.features.set(3);
  platform.max_vcpus = 4;
  platform.tdp = true;
  platform.deviations = {"kvm_pvm"};
  platform.provenance = {{"kernel", "6.1"}, {"cpu", "some"}};
  const auto back = platform_from(nlohmann::json::parse(text_of(to_wire(platform))));
  EXPECT_EQ(back.features, platform.features);
  EXPECT_EQ(back.max_vcpus, 4u);
  EXPECT_TRUE(back.tdp);
  EXPECT_EQ(back.deviations, platform.deviations);
  EXPECT_EQ(back.provenance, platform.provenance);
}

}  // namespace
}  // namespace lockstep::props
