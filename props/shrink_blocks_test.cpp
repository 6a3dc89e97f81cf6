// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/shrink_blocks.h"

#include <gtest/gtest.h>

#include <chrono>

#include "props/shrink.h"

namespace lockstep::props {
namespace {

Program parsed(const std::string& steps) {
  auto program = parse("lockstep 1\nconfig vcpus=2\nv0 invlpg 0x0\nv1 invlpg 0x0\n" + steps);
  EXPECT_TRUE(program) << program.error().message("test", steps);
  return program ? *program : Program{};
}

/// The text behind the lines that parsed() begins with.
std::string text(const Program& program) {
  const std::string all = print(program);
  constexpr std::string_view setup = "v1 invlpg 0x0\n";
  return all.substr(all.find(setup) + setup.size());
}

const std::string block =
    "par schedule=5 {\nv0 invlpg 0x1000\n} {\nv1 invlpg 0x2000\n} {\npeek 0x0\n}\n";

TEST(ShrinkBlocks, BlocksThatLoseAThreadStayWhole) {
  Program program = parsed(block);
  program.steps.erase(program.steps.begin() + 2);
  EXPECT_TRUE(validate(program));
  mend_blocks(program);
  EXPECT_FALSE(validate(program));
  EXPECT_EQ(text(program), "par {\nv1 invlpg 0x2000\n} {\npeek 0x0\n}\n");
  program.steps.pop_back();
  mend_blocks(program);
  EXPECT_EQ(text(program), "v1 invlpg 0x2000\n");
}

TEST(ShrinkBlocks, LessRunsBesideOtherThings) {
  std::vector<std::string> texts;
  for (const Program& program : less_parallel(parsed(block))) {
    EXPECT_FALSE(validate(program)) << print(program);
    texts.push_back(text(program));
  }
  const std::vector<std::string> wanted = {
      "v0 invlpg 0x1000\nv1 invlpg 0x2000\npeek 0x0\n",
      "v0 invlpg 0x1000\npar schedule=5 {\nv1 invlpg 0x2000\n} {\npeek 0x0\n}\n",
      "v1 invlpg 0x2000\npar schedule=5 {\nv0 invlpg 0x1000\n} {\npeek 0x0\n}\n"};
  for (const auto& one : wanted) {
    EXPECT_NE(std::find(texts.begin(), texts.end(), one), texts.end()) << one;
  }
}

TEST(ShrinkBlocks, EveryShrinkOfABlockValidatesOrIsSkipped) {
  // What is left of a failure that needs the peek beside the second INVLPG.
  const auto later = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  const auto shrunk = shrink(
      parsed(block),
      [](const Program& program) {
        const std::string all = print(program);
        return all.find("par ") != std::string::npos && all.find("v1 invlpg 0x2000") < all.size() &&
               all.find("peek") < all.size();
      },
      later);
  EXPECT_TRUE(shrunk.minimal);
  EXPECT_EQ(shrunk.program.steps.size(), 3u) << print(shrunk.program);
}

TEST(ShrinkBlocks, AnotherScheduleMayShowIt) {
  const auto later = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  const auto shrunk = shrink(
      parsed(block),
      [](const Program& program) {
        for (const Step& step : program.steps) {
          if (step.thread && step.schedule == (program.steps.size() == 5 ? 5 : 3)) return true;
        }
        return false;
      },
      later);
  EXPECT_LT(shrunk.program.steps.size(), 5u) << print(shrunk.program);
}

}  // namespace
}  // namespace lockstep::props
