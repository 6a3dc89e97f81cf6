// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/isolate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>

namespace lockstep::cli {
namespace {

using std::chrono::milliseconds;

TEST(Isolate, BringsBackWhatTheChildSaid) {
  const std::string large(200'000, 'x');
  const auto ended = isolated(
      [&](const Say& say) {
        say("one ");
        say(large);
      },
      milliseconds(10'000));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->said, "one " + large);
  EXPECT_FALSE(ended->died);
  EXPECT_FALSE(ended->hung);
}

TEST(Isolate, TellsOfASignalAndKeepsWhatWasSaid) {
  const auto ended = isolated(
      [](const Say& say) {
        say("before");
        std::signal(SIGSEGV, SIG_DFL);
        std::raise(SIGSEGV);
      },
      milliseconds(10'000));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->said, "before");
  EXPECT_EQ(ended->died, "SIGSEGV");
}

TEST(Isolate, TellsOfAnExitStatus) {
  const auto ended = isolated([](const Say&) { _exit(7); }, milliseconds(10'000));
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->died, "exit status 7");
}

TEST(Isolate, KillsWhatHangs) {
  const auto ended = isolated(
      [](const Say&) {
        while (true) pause();
      },
      milliseconds(50));
  ASSERT_TRUE(ended);
  EXPECT_TRUE(ended->hung);
}

}  // namespace
}  // namespace lockstep::cli
