// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/shrink.h"

#include <gtest/gtest.h>

#include "props/generator.h"

namespace lockstep::props {
namespace {

using std::chrono::steady_clock;

const auto plenty = std::chrono::seconds(60);

template <typename T>
std::size_t count(const Program& program) {
  std::size_t sum = 0;
  for (const auto& step : program.steps) sum += std::holds_alternative<T>(step.command);
  return sum;
}

TEST(Shrink, KeepsWhatTheFailureNeedsAndNothingElse) {
  const auto fails = [](const Program& program) {
    return count<Access>(program) >= 2 && count<EntrySet>(program) >= 1;
  };
  std::uint64_t index = 0;
  while (!fails(generate(everything(), 9, index))) ++index;
  const auto shrunk = shrink(generate(everything(), 9, index), fails, steady_clock::now() + plenty);
  EXPECT_TRUE(shrunk.minimal);
  EXPECT_EQ(shrunk.program.steps.size(), 3u) << print(shrunk.program);
  EXPECT_EQ(shrunk.program.configuration.vcpus, 1u);
  EXPECT_EQ(shrunk.program.configuration.roots.size(), 1u);
  EXPECT_FALSE(validate(shrunk.program));
}

TEST(Shrink, StopsAtItsDeadline) {
  const auto fails = [](const Program&) { return true; };
  const auto program = generate(everything(), 9, 0);
  const auto shrunk = shrink(program, fails, steady_clock::now());
  EXPECT_FALSE(shrunk.minimal);
  EXPECT_EQ(shrunk.tried, 0u);
  EXPECT_EQ(shrunk.program, program);
}

TEST(Shrink, EveryChainEnds) {
  // The most permissive failure takes the longest chain.
  for (std::uint64_t index = 0; index < 20; ++index) {
    const auto program = generate(everything(), 10, index);
    const auto size = program.steps.size();
    const auto same_size = [&](const Program& candidate) { return candidate.steps.size() == size; };
    const auto shrunk = shrink(program, same_size, steady_clock::now() + plenty);
    EXPECT_TRUE(shrunk.minimal);
  }
}

TEST(Shrink, RemovesEveryChunk) {
  Program program;
  for (unsigned i = 0; i < 5; ++i) program.steps.push_back({DirtyGet{i}, std::nullopt, {}, {}});
  std::size_t single = 0;
  auto candidates = shrinks(program);
  while (const auto candidate = candidates.next()) single += candidate->steps.size() == 4;
  // A remainder may be a chunk of one step too.
  EXPECT_GE(single, 5u);
}

}  // namespace
}  // namespace lockstep::props
