// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/parallel_block.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "props/schedule/primitives.h"

namespace lockstep::props {
namespace {

using schedule::Mutex;
using schedule::Srcu;

/// Two commands on each of two threads, told apart by their address.
std::vector<ParallelCommand> two_by_two() {
  std::vector<ParallelCommand> commands;
  for (unsigned thread = 0; thread < 2; ++thread) {
    for (unsigned i = 0; i < 2; ++i) commands.push_back({thread, Peek{.gpa = 16 * thread + i}});
  }
  return commands;
}

class Block : public testing::Test {
 protected:
  static Gpa number(const Command& command) { return std::get<Peek>(command).gpa; }
  Result<BlockRun> run(std::function<Result<Observation>(const Command&)> execute) {
    return run_block(runner_, commands_, std::move(execute));
  }
  /// Which of the commands answered Unexpected, and what.
  static std::vector<std::size_t> unexpected(const BlockRun& run) {
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i < run.answers.size(); ++i) {
      const auto* wrong = std::get_if<Unexpected>(&run.answers[i].observation);
      if (wrong == nullptr) continue;
      EXPECT_EQ(wrong->what, run.failure);
      which.push_back(i);
    }
    return which;
  }

  const std::vector<ParallelCommand> commands_ = two_by_two();
  schedule::Runner runner_;
  Mutex lock_{"lock"};
  Srcu readers_{"readers"};
};

TEST_F(Block, AnswersEachCommandInItsTime) {
  const auto ran = run([](const Command& command) { return Value{number(command)}; });
  ASSERT_TRUE(ran);
  EXPECT_FALSE(ran->failure);
  ASSERT_EQ(ran->answers.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(ran->answers[i].observation, Observation(Value{number(commands_[i].command)}));
    EXPECT_LT(ran->answers[i].began, ran->answers[i].ended);
  }
  EXPECT_LT(ran->answers[0].ended, ran->answers[1].began);
}

TEST_F(Block, CommandsThatDoNotEndAnswerForWhatWentWrong) {
  const auto ran = run([this](const Command& command) -> Observation {
    // Both threads take it, and keep it.
    if (number(command) % 16 == 1) lock_.lock();
    return Done{};
  });
  ASSERT_TRUE(ran);
  ASSERT_TRUE(ran->failure);
  EXPECT_FALSE(unexpected(*ran).empty());
}

TEST_F(Block, WhatAThreadKeepsIsItsLastCommands) {
  const auto keeps = run([this](const Command& command) -> Observation {
    if (number(command) == 1) lock_.lock();
    return Done{};
  });
  ASSERT_TRUE(keeps);
  ASSERT_TRUE(keeps->failure);
  EXPECT_TRUE(keeps->failure->starts_with("lock-kept")) << *keeps->failure;
  EXPECT_EQ(unexpected(*keeps).at(0), 1u);
}

// A thread's end comes behind the others' commands, too.
TEST_F(Block, ItsLastCommandAnswersWhereAllHaveEnded) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    auto commands = commands_;
    commands.front().schedule = seed;
    const auto reads = run_block(runner_, commands, [this](const Command& command) -> Observation {
      if (number(command) == 0) readers_.lock();
      return Done{};
    });
    ASSERT_TRUE(reads);
    ASSERT_TRUE(reads->failure);
    EXPECT_TRUE(reads->failure->starts_with("unbalanced")) << *reads->failure;
    const auto which = unexpected(*reads);
    EXPECT_NE(std::ranges::find(which, 1u), which.end()) << "schedule " << seed;
  }
}

TEST_F(Block, AnErrorIsTheEngines) {
  const auto ran = run([](const Command& command) -> Result<Observation> {
    if (number(command) == 0) return tl::unexpected(EngineError{"out of toys"});
    return Done{};
  });
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().message, "out of toys");
}

TEST_F(Block, AFailureOutranksTheErrorThatItLedTo) {
  const auto ran = run([this](const Command& command) -> Result<Observation> {
    if (number(command) != 0) return Done{};
    lock_.lock();
    return tl::unexpected(EngineError{"out of toys"});
  });
  ASSERT_TRUE(ran) << ran.error().message;
  ASSERT_TRUE(ran->failure);
  EXPECT_TRUE(ran->failure->starts_with("lock-kept")) << *ran->failure;
  EXPECT_EQ(unexpected(*ran).at(0), 0u);
}

}  // namespace
}  // namespace lockstep::props
