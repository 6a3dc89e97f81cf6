// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/bias.h"

#include <gtest/gtest.h>

#include "props/generator.h"

namespace lockstep::jobs::review {
namespace {

bool is_shadow(const Program& program) { return program.configuration.mmu == MmuKind::shadow; }

/// What of these programs would be run, of those for which `which` holds.
double share(const Bias& bias, bool shadow) {
  unsigned all = 0;
  unsigned wanted = 0;
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    const auto program = props::generate(props::everything(), 7, 1'000'000 + i);
    if (is_shadow(program) != shadow) continue;
    ++all;
    wanted += bias.wants(program) ? 1 : 0;
  }
  return all == 0 ? 0 : static_cast<double>(wanted) / all;
}

TEST(Bias, WithoutKnowledgeEveryProgramIsWanted) {
  const Bias bias;
  EXPECT_EQ(share(bias, true), 1);
  EXPECT_EQ(share(bias, false), 1);
}

TEST(Bias, PrefersWhatReached) {
  Bias bias;
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    const auto program = props::generate(props::everything(), 7, i);
    bias.learn(program, is_shadow(program));
  }
  EXPECT_GT(bias.reached(), 0u);
  EXPECT_GT(share(bias, true), 0.9);
  // What never reached is still run now and then.
  EXPECT_GT(share(bias, false), 0.02);
  EXPECT_LT(share(bias, false), 0.3);
}

TEST(Bias, WhatNothingReachedGivesNoPreference) {
  Bias bias;
  for (std::uint64_t i = 0; i < 100; ++i) {
    bias.learn(props::generate(props::everything(), 7, i), false);
  }
  EXPECT_EQ(share(bias, true), 1);
}

}  // namespace
}  // namespace lockstep::jobs::review
