// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/process.h"

#include <gtest/gtest.h>

#include "hw/kernels/test_tree.h"

namespace lockstep::hw::kernels {
namespace {

Process process(std::vector<std::string> words) {
  Process made;
  made.words = std::move(words);
  return made;
}

TEST(Process, NoShellReadsTheWords) {
  const auto outcome = run(process({"printf", "%s", "$(id); `id` 'x' *"}));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->out, "$(id); `id` 'x' *");
  EXPECT_TRUE(outcome->ok());
}

TEST(Process, InputFolderAndEnvironmentReachIt) {
  const TestFolder folder;
  auto one = process({"sh", "-c", "cat; pwd; echo $GIVEN $LC_ALL; echo said >&2"});
  one.input = "read\n";
  one.folder = folder.path();
  one.environment = {"GIVEN=value"};
  const Variable outer("GIVEN", "other");
  const Variable flags("MAKEFLAGS", "-n");
  const auto outcome = run(one);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->out, "read\n" + folder.path().string() + "\nvalue C\n");
  EXPECT_EQ(outcome->err, "said\n");
  one.words = {"sh", "-c", "echo [$MAKEFLAGS]"};
  EXPECT_EQ(run(one)->out, "[]\n");
}

TEST(Process, LinesComeWholeAlsoTheLast) {
  std::vector<std::string> lines;
  auto one = process({"sh", "-c", "printf 'a\\n\\nb'; printf 'c'"});
  one.on_line = [&lines](std::string_view line) { lines.emplace_back(line); };
  ASSERT_TRUE(run(one));
  EXPECT_EQ(lines, (std::vector<std::string>{"a", "", "bc"}));
}

TEST(Process, MuchOutputOnBothSidesIsRead) {
  const auto outcome = run(process({"sh", "-c", "seq 100000; seq 100000 >&2"}));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->out.size(), outcome->err.size());
  EXPECT_EQ(outcome->out.size(), 588895U);
}

TEST(Process, HowItEnds) {
  EXPECT_EQ(run(process({"sh", "-c", "exit 3"}))->status, 3);
  EXPECT_EQ(run(process({"sh", "-c", "kill -9 $$"}))->status, 128 + 9);
  const auto failed = run_or_fail(process({"sh", "-c", "echo broken pipes >&2; echo >&2; exit 1"}));
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("broken pipes"), std::string::npos);
}

TEST(Process, AbsentProgramsNameTheirPackage) {
  const TestFolder folder;
  const Variable path("PATH", folder.path().c_str());
  EXPECT_FALSE(installed("xz"));
  const auto outcome = run(process({"xz"}));
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().message.find("apt-get install xz-utils"), std::string::npos);
  EXPECT_EQ(outcome.error().cause, KernelError::Cause::machine);
}

}  // namespace
}  // namespace lockstep::hw::kernels
