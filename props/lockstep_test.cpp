// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/lockstep.h"

#include <gtest/gtest.h>

#include "props/spec_engine.h"
#include "props/toy_test_engine.h"

namespace lockstep::props {
namespace {

using toy::Bug;

std::vector<std::unique_ptr<Engine>> engines(std::vector<std::pair<const char*, Bug>> list) {
  std::vector<std::unique_ptr<Engine>> result;
  for (const auto& [name, bug] : list) {
    result.push_back(std::make_unique<toy::ToyEngine>(name, bug));
  }
  return result;
}

const Program flush_and_read =
    toy::program({toy::write(0x1000, 2), Invlpg{0, 0x1000}, toy::read(0x1000)});

TEST(Lockstep, PassesWhatTheModelAdmits) {
  Lockstep lockstep(engines({{"a", Bug::none}, {"b", Bug::none}}), toy::models());
  const auto outcome = lockstep.run(flush_and_read);
  EXPECT_EQ(outcome.verdict, Verdict::pass);
  EXPECT_EQ(outcome.commands, 3u);
  EXPECT_EQ(outcome.ran, 3u);
  EXPECT_EQ(lockstep.reached(0).at("invlpg"), 1u);
}

TEST(Lockstep, NamesTheOddEngine) {
  Lockstep lockstep(engines({{"a", Bug::none}, {"b", Bug::stale_after_invlpg}}), toy::models());
  const auto outcome = lockstep.run(flush_and_read);
  ASSERT_TRUE(outcome.finding);
  const auto& finding = *outcome.finding;
  EXPECT_EQ(outcome.verdict, Verdict::fail);
  EXPECT_EQ(finding.kind, FindingKind::refused);
  EXPECT_EQ(finding.engine, "b");
  EXPECT_EQ(finding.step, 2u);
  EXPECT_EQ(finding.title, "read: another value");
  EXPECT_EQ(finding.walk, "walk of the toy");
  EXPECT_FALSE(finding.spec_suspect);
  EXPECT_EQ(finding.unique, (Observation{Value{2}}));
  ASSERT_EQ(finding.sides.size(), 2u);
  EXPECT_FALSE(finding.sides[0].odd);
  EXPECT_TRUE(finding.sides[1].odd);
  EXPECT_NE(side_by_side(finding).find(">> b"), std::string::npos);
}

// Flags of an entry may be set early, pages logged without need: a saved program that demanded
// the least of them would fail on an engine that is right.
TEST(Lockstep, DemandsNothingWhereTheModelListsTheLeast) {
  Lockstep lockstep(engines({{"a", Bug::none}, {"b", Bug::wrong_peek}}), toy::models());
  const auto outcome = lockstep.run(toy::program({Peek{0x1000, 8}}));
  ASSERT_TRUE(outcome.finding);
  EXPECT_EQ(outcome.finding->admitted.size(), 1u);
  EXPECT_EQ(outcome.finding->unique, std::nullopt);
}

/// Reads of vCPU 1 beside a write and an INVLPG of vCPU 0.
Program program_with_block() {
  Access other = toy::read(0x1000);
  other.vcpu = 1;
  Program program = toy::program(
      {toy::read(0x2000), other, toy::write(0x1000, 2), Invlpg{0, 0x1000}, other, other});
  program.configuration.vcpus = 2;
  program.steps[2].thread = program.steps[3].thread = 0;
  program.steps[4].thread = 1;
  return program;
}

TEST(Lockstep, BlocksRunAndAreJudgedAsOne) {
  Lockstep lockstep(engines({{"a", Bug::none}, {"b", Bug::none}}), toy::models());
  std::vector<std::size_t> steps;
  RunOptions options;
  options.watch = [&](const StepTrace& trace) { steps.push_back(trace.step); };
  const auto outcome = lockstep.run(program_with_block(), options);
  EXPECT_EQ(outcome.verdict, Verdict::pass) << outcome.reason;
  EXPECT_EQ(outcome.commands, 6u);
  EXPECT_EQ(steps, (std::vector<std::size_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(lockstep.reached(0).at("parallel block"), 1u);
}

TEST(Lockstep, BlocksAreFoundAsOne) {
  Lockstep lockstep(engines({{"a", Bug::none}, {"b", Bug::stale_after_invlpg}}), toy::models());
  const auto outcome = lockstep.run(program_with_block());
  ASSERT_TRUE(outcome.finding);
  const auto& finding = *outcome.finding;
  EXPECT_EQ(finding.kind, FindingKind::refused);
  EXPECT_EQ(finding.engine, "b");
  // The whole block is needed to see it again.
  EXPECT_EQ(finding.step, 4u);
  EXPECT_EQ(finding.command_kind, "par");
  EXPECT_EQ(finding.title, "par: no order explains write, invlpg beside read");
  EXPECT_EQ(finding.sides[1].answer, "ok, ok | value 0x3");
  EXPECT_FALSE(finding.unique);
  EXPECT_NE(finding.walk.find("thread 1:"), std::string::npos);
}

TEST(Lockstep, EnginesWithoutBlocksSkipThem) {
  Features missing;
  missing.set(static_cast<std::size_t>(Feature::parallel_blocks));
  std::vector<std::unique_ptr<Engine>> both;
  both.push_back(std::make_unique<toy::ToyEngine>("a", Bug::none));
  both.push_back(std::make_unique<toy::ToyEngine>("b", Bug::none, missing));
  Lockstep lockstep(std::move(both), toy::models());
  const auto outcome = lockstep.run(program_with_block());
  EXPECT_EQ(outcome.verdict, Verdict::no_verdict);
  ASSERT_EQ(outcome.skips.size(), 1u);
  EXPECT_EQ(outcome.skips[0].reason, "lacks parallel blocks");
}

TEST(Lockstep, SuspectsTheSpecWhenAllEnginesAgreeAgainstIt) {
  Lockstep lockstep(engines({{"a", Bug::stale_after_invlpg}, {"b", Bug::stale_after_invlpg}}),
                    toy::models());
  const auto outcome = lockstep.run(flush_and_read);
  ASSERT_TRUE(outcome.finding);
  EXPECT_TRUE(outcome.finding->spec_suspect);
  EXPECT_TRUE(outcome.finding->title.starts_with("spec suspect: "));
}

TEST(Lockstep, OneEngineAloneDoesNotMakeTheSpecSuspect) {
  Lockstep lockstep(engines({{"a", Bug::stale_after_invlpg}}), toy::models());
  EXPECT_FALSE(lockstep.run(flush_and_read).finding->spec_suspect);
}

TEST(Lockstep, HoldsEnginesToTheText) {
  auto program = flush_and_read;
  program.steps[2].expected = Value{7};
  Lockstep lockstep(engines({{"a", Bug::none}}), toy::models());
  const auto outcome = lockstep.run(program);
  ASSERT_TRUE(outcome.finding);
  EXPECT_EQ(outcome.finding->kind, FindingKind::expectation);
  EXPECT_EQ(outcome.finding->step, 2u);
}

TEST(Lockstep, TellsTeardownLivelockAndUnexpectedApart) {
  const std::pair<Bug, FindingKind> cases[] = {{Bug::leak, FindingKind::teardown},
                                               {Bug::livelock, FindingKind::livelock},
                                               {Bug::lost, FindingKind::unexpected}};
  for (const auto& [bug, kind] : cases) {
    Lockstep lockstep(engines({{"a", bug}}), toy::models());
    const auto outcome = lockstep.run(flush_and_read);
    ASSERT_TRUE(outcome.finding) << name(kind);
    EXPECT_EQ(outcome.finding->kind, kind);
  }
}

TEST(Lockstep, AnEngineErrorIsNoVerdict) {
  Lockstep lockstep(engines({{"a", Bug::error}}), toy::models());
  const auto outcome = lockstep.run(flush_and_read);
  EXPECT_EQ(outcome.verdict, Verdict::no_verdict);
  EXPECT_EQ(outcome.broken, "a");
  EXPECT_NE(outcome.reason.find("out of toys"), std::string::npos);
  EXPECT_FALSE(outcome.finding);
}

TEST(Lockstep, ASkipIsNotAPass) {
  std::vector<std::unique_ptr<Engine>> two;
  Features missing;
  missing.set(static_cast<unsigned>(Feature::paging_level4));
  two.push_back(std::make_unique<toy::ToyEngine>("a", Bug::none));
  two.push_back(std::make_unique<toy::ToyEngine>("b", Bug::none, missing));
  Lockstep lockstep(std::move(two), toy::models());
  const auto outcome = lockstep.run(flush_and_read);
  EXPECT_EQ(outcome.verdict, Verdict::no_verdict);
  ASSERT_EQ(outcome.skips.size(), 1u);
  EXPECT_EQ(outcome.skips[0].engine, "b");
  EXPECT_EQ(outcome.ran, 1u);
}

TEST(Lockstep, AnUndecidedModelIsNoVerdict) {
  class Undecided final : public Model {
   public:
    spec::Judgement judge(const Command&, const Observation&) override {
      return {spec::Judgement::Kind::undecided, "too many worlds"};
    }
    std::vector<Observation> admitted(const Command&) const override { return {}; }
    std::string explain(const Command&) const override { return {}; }
    const std::array<std::uint64_t, spec::looseness_count>& looseness_used() const override {
      return none_;
    }

   private:
    std::array<std::uint64_t, spec::looseness_count> none_{};
  };
  Lockstep lockstep(engines({{"a", Bug::none}}),
                    [](const Configuration&, const Platform&) -> std::unique_ptr<Model> {
                      return std::make_unique<Undecided>();
                    });
  const auto outcome = lockstep.run(flush_and_read);
  EXPECT_EQ(outcome.verdict, Verdict::no_verdict);
  EXPECT_TRUE(outcome.undecided);
}

TEST(Lockstep, IllegalProgramsAreInputErrors) {
  Lockstep lockstep(engines({{"a", Bug::none}}), toy::models());
  EXPECT_EQ(lockstep.run(toy::program({toy::read(0x1001)})).verdict, Verdict::input_error);
}

TEST(Lockstep, ShowsEveryStep) {
  Lockstep lockstep(engines({{"a", Bug::none}, {"b", Bug::none}}), toy::models());
  std::vector<std::size_t> steps;
  RunOptions options;
  options.watch = [&](const StepTrace& trace) {
    steps.push_back(trace.step);
    EXPECT_EQ(trace.answers.size(), 2u);
    EXPECT_NE(trace.answers[1].observation, nullptr);
  };
  lockstep.run(flush_and_read, options);
  EXPECT_EQ(steps, (std::vector<std::size_t>{0, 1, 2}));
}

TEST(SpecEngine, DrawsWhatTheTextDemandsIfAdmitted) {
  class Loose final : public Model {
   public:
    spec::Judgement judge(const Command&, const Observation&) override { return {}; }
    std::vector<Observation> admitted(const Command&) const override {
      return {Value{1}, Value{2}};
    }
    std::string explain(const Command&) const override { return {}; }
    const std::array<std::uint64_t, spec::looseness_count>& looseness_used() const override {
      return none_;
    }

   private:
    std::array<std::uint64_t, spec::looseness_count> none_{};
  };
  std::vector<std::unique_ptr<Engine>> spec;
  const ModelFactory models = [](const Configuration&, const Platform&) -> std::unique_ptr<Model> {
    return std::make_unique<Loose>();
  };
  spec.push_back(std::make_unique<SpecEngine>(1, models));
  Lockstep lockstep(std::move(spec), models);
  auto program = toy::program({toy::read(0x1000)});
  for (const std::uint64_t value : {1, 2, 2, 1}) {
    program.steps[0].expected = Value{value};
    EXPECT_EQ(lockstep.run(program).verdict, Verdict::pass);
  }
  program.steps[0].expected = Value{3};
  EXPECT_EQ(lockstep.run(program).verdict, Verdict::fail);
}

}  // namespace
}  // namespace lockstep::props
