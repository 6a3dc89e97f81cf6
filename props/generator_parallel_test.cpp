// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/generator_parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "props/command_kind.h"

namespace lockstep::props {
namespace {

bool has_block(const Program& program) {
  return std::any_of(program.steps.begin(), program.steps.end(),
                     [](const Step& step) { return step.thread.has_value(); });
}

TEST(GenerateParallel, ProgramsAreLegalAndHaveBlocks) {
  std::set<std::string_view> beside;
  std::set<unsigned> threads;
  for (std::uint64_t index = 0; index < 2'000; ++index) {
    const Program program = generate_parallel(everything(), 5, index);
    const auto illegal = validate(program);
    ASSERT_FALSE(illegal) << illegal->reason << " at step " << illegal->step + 1 << "\n"
                          << print(program);
    ASSERT_TRUE(has_block(program));
    const auto again = parse(print(program));
    ASSERT_TRUE(again);
    ASSERT_EQ(*again, program);
    for (const Step& step : program.steps) {
      if (!step.thread) continue;
      beside.insert(command_kind(step.command));
      threads.insert(*step.thread);
    }
  }
  for (const char* kind :
       {"read", "write", "guest entry", "invlpg", "cr3", "dirty get", "slot delete", "peek"}) {
    EXPECT_TRUE(beside.contains(kind)) << kind;
  }
  EXPECT_EQ(threads, (std::set<unsigned>{0, 1, 2}));
}

TEST(GenerateParallel, OneVcpuStandsBesideUserSpace) {
  auto options = everything();
  options.max_vcpus = 1;
  for (std::uint64_t index = 0; index < 200; ++index) {
    const Program program = generate_parallel(options, 5, index);
    ASSERT_FALSE(validate(program)) << print(program);
    ASSERT_TRUE(has_block(program));
    ASSERT_EQ(program.configuration.vcpus, 1u);
  }
}

TEST(GenerateParallel, DependsOnSeedAndIndexAlone) {
  EXPECT_EQ(generate_parallel(everything(), 5, 17), generate_parallel(everything(), 5, 17));
  EXPECT_NE(generate_parallel(everything(), 5, 17), generate_parallel(everything(), 6, 17));
}

}  // namespace
}  // namespace lockstep::props
