// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <set>

#include "props/generator_parallel.h"
#include "props/impl_engine.h"
#include "props/lockstep.h"
#include "props/model.h"

namespace lockstep::props {
namespace {

Program parsed(const std::string& text) {
  auto program = parse("lockstep 1\n" + text);
  EXPECT_TRUE(program) << program.error().message("test", text);
  return program ? *program : Program{};
}

Lockstep impl_alone() {
  std::vector<std::unique_ptr<Engine>> engines;
  engines.push_back(make_impl_engine());
  return {std::move(engines), machine_models()};
}

/// What every step showed, as text.
std::string shown(Lockstep& lockstep, const Program& program, Outcome& outcome) {
  std::string text;
  RunOptions options;
  options.watch = [&](const StepTrace& trace) {
    text += print(*trace.answers.front().observation) + "\n";
  };
  outcome = lockstep.run(program, options);
  return text;
}

const std::string setup =
    "config paging=4-level mmu=tdp vcpus=2\n"
    "slot 0 add gpa=0x0 size=0x200000\n"
    "slot 1 add gpa=0x400000 size=0x40000 log\n"
    "map 0x0 gpa=0x400000 rwxu\nmap 0x1000 gpa=0x401000 rwxu\n"
    "v0 cpl3 read 0x0\nv1 cpl3 read 0x0\nslot 1 dirty-get\n";

Program with_schedule_of(unsigned schedule, const std::string& block) {
  return parsed(setup + "par schedule=" + std::to_string(schedule) + " " + block);
}

TEST(ImplParallel, SchedulesDifferAndEachIsTheSameAgain) {
  auto lockstep = impl_alone();
  const std::string block =
      "{\nv0 cpl3 write 0x0 = 0x1\nv0 cpl3 read 0x1000\n} {\n"
      "v1 cpl3 write 0x1000 = 0x2\nv1 cpl3 read 0x0\n} {\nslot 1 dirty-get\n}\n";
  std::set<std::string> texts;
  for (unsigned schedule = 1; schedule < 60; ++schedule) {
    const Program program = with_schedule_of(schedule, block);
    Outcome outcome;
    const std::string first = shown(lockstep, program, outcome);
    ASSERT_EQ(outcome.verdict, Verdict::pass)
        << outcome.reason << (outcome.finding ? side_by_side(*outcome.finding) : "");
    for (int again = 0; again < 3; ++again) {
      ASSERT_EQ(shown(lockstep, program, outcome), first) << schedule;
    }
    texts.insert(first);
  }
  EXPECT_GE(texts.size(), 4u);
  EXPECT_GT(lockstep.reached(0).at("parallel block with preemptions"), 0u);
}

TEST(ImplParallel, DirtyLogLosesNoStoreUnderAnySchedule) {
  auto lockstep = impl_alone();
  const std::string block =
      "{\nv0 cpl3 write 0x0 = 0x1\nv0 cpl3 write 0x1000 = 0x2\n} {\n"
      "slot 1 dirty-get\nslot 1 dirty-get\n}\nslot 1 dirty-get\n";
  for (unsigned schedule = 1; schedule < 400; ++schedule) {
    Outcome outcome;
    shown(lockstep, with_schedule_of(schedule, block), outcome);
    ASSERT_EQ(outcome.verdict, Verdict::pass)
        << schedule << (outcome.finding ? side_by_side(*outcome.finding) : outcome.reason);
  }
}

TEST(ImplParallel, SlotsComeAndGoBesideFaults) {
  auto lockstep = impl_alone();
  const std::string block =
      "{\nv0 cpl3 write 0x0 = 0x1\nv0 cpl3 read 0x0\n} {\n"
      "v1 cpl3 read 0x1000\nv1 cpl3 write 0x0 = 0x3\n} {\n"
      "slot 1 move gpa=0x600000\nslot 1 flags none\nslot 1 delete\n}\nv0 cpl3 read 0x0\n";
  for (unsigned schedule = 1; schedule < 400; ++schedule) {
    Outcome outcome;
    shown(lockstep, with_schedule_of(schedule, block), outcome);
    ASSERT_EQ(outcome.verdict, Verdict::pass)
        << schedule << (outcome.finding ? side_by_side(*outcome.finding) : outcome.reason);
  }
}

TEST(ImplParallel, RandomBlocksAreExplained) {
  auto lockstep = impl_alone();
  auto options = everything();
  options.everywhere.reset(static_cast<std::size_t>(Feature::smm));
  unsigned undecided = 0;
  for (std::uint64_t index = 0; index < 300; ++index) {
    const Program program = generate_parallel(options, 11, index);
    const Outcome outcome = lockstep.run(program);
    undecided += outcome.undecided ? 1 : 0;
    ASSERT_FALSE(outcome.finding) << side_by_side(*outcome.finding) << "\n" << print(program);
  }
  EXPECT_LT(undecided, 30u);
}

}  // namespace
}  // namespace lockstep::props
