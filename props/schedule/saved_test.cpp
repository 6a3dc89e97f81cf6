// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/saved.h"

#include <gtest/gtest.h>

namespace lockstep::props::schedule {
namespace {

constexpr auto text =
    "lockstep-schedule 1\n"
    "# why\n"
    "system page-caches\n"
    "defect missing-kvm-lock\n"
    "thread 0: fault 0; shrink 3\n"
    "thread 1: destroy-vm 1; module-exit\n"
    "at begin run 1\n"
    "at 1 lock kvm-lock #1 run 0\n"
    "at 0 yield #2 run 1\n"
    "at 0 end run 1\n"
    "expect data-race\n";

TEST(Saved, PrintsBackAsItStands) {
  const auto saved = parse_saved(text);
  ASSERT_TRUE(saved) << saved.error();
  EXPECT_EQ(print(*saved), text);
  EXPECT_EQ(saved->turns.size(), 4u);
  EXPECT_EQ(saved->turns[1].label, "lock kvm-lock");
}

TEST(Saved, NamesTheEngineThatItsSystemRunsOn) {
  System system = *find_system("page-caches");
  system.engine = "hosted:6.1";
  const std::span<const System> among(&system, 1);
  const auto saved = parse_saved(text, among);
  ASSERT_TRUE(saved) << saved.error();
  const std::string printed = print(*saved);
  EXPECT_EQ(saved_engine(printed), "hosted:6.1");
  const auto again = parse_saved(printed, among);
  ASSERT_TRUE(again) << again.error();
  EXPECT_EQ(print(*again), printed);
  EXPECT_EQ(saved_engine(text), "");
}

TEST(Saved, SurvivesMail) {
  std::string mailed = text;
  for (std::size_t at = 0; (at = mailed.find('\n', at)) != std::string::npos; at += 4) {
    mailed.replace(at, 1, " \r\n ");
  }
  const auto saved = parse_saved(mailed);
  ASSERT_TRUE(saved) << saved.error();
  EXPECT_EQ(print(*saved), text);
}

TEST(Saved, LongThreadsAreBroken) {
  auto saved = parse_saved(text);
  ASSERT_TRUE(saved);
  saved->threads[0].assign(20, saved->threads[0][0]);
  const std::string printed = print(*saved);
  for (std::size_t at = 0; at < printed.size();) {
    const auto end = printed.find('\n', at);
    EXPECT_LE(end - at, 72u);
    at = end + 1;
  }
  const auto again = parse_saved(printed);
  ASSERT_TRUE(again) << again.error();
  EXPECT_EQ(again->threads, saved->threads);
}

TEST(Saved, ErrorsNameTheLineAndTheNearestWord) {
  const auto error = [](std::string_view line) {
    const auto saved = parse_saved("lockstep-schedule 1\nsystem page-caches\n" + std::string(line));
    return saved ? "" : saved.error();
  };
  EXPECT_EQ(error("thread 0: fualt 0"), "line 3: no command 'fualt'; did you mean 'fault'?");
  EXPECT_EQ(error("thread 0: fault 7"), "line 3: 'fault' wants a number below 2");
  EXPECT_EQ(error("thread 0: module-exit 7"), "line 3: 'module-exit' has no number");
  EXPECT_EQ(error("thread 1: fault 0"), "line 3: thread 1 before thread 0");
  EXPECT_EQ(error("defect missing-kvm-lok"),
            "line 3: no defect 'missing-kvm-lok'; did you mean 'missing-kvm-lock'?");
  EXPECT_EQ(error("expect deadlok"), "line 3: no failure 'deadlok'; did you mean 'deadlock'?");
  EXPECT_EQ(error("at 0 lock a run 1"), "line 3: expected 'at THREAD STEP #N run THREAD'");
  EXPECT_EQ(error("thread 0: shrink 1\nat 0 end run 4"),
            "'at 0 end run 4': there is no such thread");
  EXPECT_EQ(error(""), "no line 'thread 0: ...'");
  EXPECT_EQ(parse_saved("lockstep 1\n").error(), "line 1: expected 'lockstep-schedule 1'");
}

TEST(Saved, ReplayTellsWhatDidNotCome) {
  auto saved = parse_saved(
      "lockstep-schedule 1\nsystem page-caches\nthread 0: fault 0\nthread 1: fault 1\n"
      "at 0 lock cache-lock.0 #1 run 1\nat 1 lock no-such-lock #1 run 0\n");
  ASSERT_TRUE(saved) << saved.error();
  Runner runner;
  const auto replayed = replay(runner, *saved, /*trace=*/true);
  EXPECT_FALSE(replayed.outcome.failure);
  ASSERT_TRUE(replayed.missed);
  EXPECT_EQ(replayed.missed->label, "lock no-such-lock");
  EXPECT_EQ(replayed.outcome.preemptions, 1u);
  const std::string shown = columns(replayed.outcome, 2);
  EXPECT_NE(shown.find("\n> " + std::string(35, ' ') + "fault 1\n"), std::string::npos) << shown;
}

}  // namespace
}  // namespace lockstep::props::schedule
