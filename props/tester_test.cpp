// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/tester.h"

#include <gtest/gtest.h>

#include "props/toy_test_engine.h"

namespace lockstep::props {
namespace {

using toy::Bug;

Tester tester(Bug bug) {
  TesterSetup setup;
  setup.engines = {"good", "bad"};
  setup.factory = toy::factory({{"good", Bug::none}, {"bad", bug}});
  setup.models = toy::models();
  setup.deadline = std::chrono::milliseconds(1'500);
  return Tester(std::move(setup));
}

const Program healthy = toy::program({toy::write(0x1000, 5), toy::read(0x1000)});
const Program fetching = toy::program({toy::write(0x1000, 5), toy::fetch(0x1000)});

TEST(Tester, OutlivesACrash) {
  auto child = tester(Bug::crash);
  EXPECT_EQ(child.run(healthy).verdict, Verdict::pass);
  const auto outcome = child.run(fetching);
  ASSERT_TRUE(outcome.finding);
  EXPECT_EQ(outcome.finding->kind, FindingKind::crash);
  EXPECT_EQ(outcome.finding->engine, "bad");
  EXPECT_EQ(outcome.finding->step, 1u);
  ASSERT_EQ(outcome.finding->sides.size(), 2u);
  EXPECT_EQ(outcome.finding->sides[0].answer, "(answered)");
  EXPECT_EQ(outcome.finding->sides[1].answer, "(exit status 42)");
  EXPECT_EQ(child.run(healthy).verdict, Verdict::pass);
}

TEST(Tester, OutlivesAHang) {
  auto child = tester(Bug::hang);
  const auto outcome = child.run(fetching);
  ASSERT_TRUE(outcome.finding);
  EXPECT_EQ(outcome.finding->kind, FindingKind::hang);
  EXPECT_EQ(child.run(healthy).verdict, Verdict::pass);
}

TEST(Tester, AnEngineThatCannotOpenIsNoVerdict) {
  TesterSetup setup;
  setup.engines = {"missing"};
  setup.factory = toy::factory({});
  setup.models = toy::models();
  const auto outcome = Tester(std::move(setup)).run(healthy);
  EXPECT_EQ(outcome.verdict, Verdict::no_verdict);
  EXPECT_NE(outcome.reason.find("missing: no such toy"), std::string::npos) << outcome.reason;
}

TEST(Tester, SequencesKeepTheVmAndSinglesDoNot) {
  auto child = tester(Bug::lingers);
  const std::vector<Program> programs(3, healthy);
  EXPECT_EQ(child.run(programs).verdict, Verdict::fail);
  EXPECT_EQ(child.ran(), 3u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(child.run(healthy).verdict, Verdict::pass);
}

TEST(Tester, KeepsLastWords) {
  TesterSetup setup;
  setup.engines = {"a"};
  setup.factory = [](std::string_view, std::uint64_t) -> Result<std::unique_ptr<Engine>> {
    std::fputs("the end is near\n", stderr);
    return std::make_unique<toy::ToyEngine>("a", Bug::crash);
  };
  setup.models = toy::models();
  const auto outcome = Tester(std::move(setup)).run(fetching);
  ASSERT_TRUE(outcome.finding);
  EXPECT_EQ(outcome.finding->detail, "the end is near\n");
}

}  // namespace
}  // namespace lockstep::props
