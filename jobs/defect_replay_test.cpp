// SPDX-License-Identifier: GPL-2.0-or-later
/// That every twin's counterexample is replayed where its defect is, and that a replay
/// tells a twin that has been mended.
#include "jobs/defect_replay.h"

#include <gtest/gtest.h>

#include "jobs/prove.h"
#include "props/impl_engine_mutants.h"
#include "smt/refinement/theorems.h"
#include "smt/solver.h"
#include "smt/theorems/theorems.h"

namespace lockstep::jobs {
namespace {

using smt::Side;

class Replays : public testing::Test {
 protected:
  void SetUp() override {
    if (smt::solver_version().empty()) GTEST_SKIP() << "built without " << smt::solver_package;
  }
};

/// Where impl with the defect is not at hand, functions show it. Twins without such a
/// program: .ci/prove-replays.
TEST_F(Replays, ATwinThatHasAProgramIsReplayedByFunctionsWhereTheProgramCannotRun) {
  unsigned functions = 0;
  for (const auto& theorem : smt::theorems()) {
    if (impl_defect_of_twin(theorem.name).empty()) continue;
    const auto twin = smt::prove(theorem, Side::broken_rule, {});
    ASSERT_EQ(twin.result, smt::Result::refuted) << theorem.name;
    const auto replay = replay_twin(theorem, twin, "", {});
    EXPECT_TRUE(replay.shows) << theorem.name << ": " << replay.reason;
    EXPECT_TRUE(replay.mended) << theorem.name << ": " << replay.reason;
    EXPECT_EQ(replay.kind, ReplayKind::function) << theorem.name;
    ++functions;
  }
  EXPECT_GE(functions, 15u);
}

/// "x is not 7" of numbers below 9, and as a twin "x is not 8".
template <typename P>
smt::FormulaOf<P> small(Side side, std::uint64_t mended) {
  const typename P::Word x = P::word("x");
  const std::uint64_t wrong = side == Side::broken_rule ? 8 : mended;
  return {.precondition = x < 9, .claim = x != wrong, .shown = {}};
}
smt::Theorem theorem_of(std::uint64_t rule) {
  smt::Theorem theorem;
  theorem.name = "small";
  theorem.body = smt::FormulaBody{[rule](Side side) { return small<smt::Symbolic>(side, rule); },
                                  [rule](Side side) { return small<smt::Concrete>(side, rule); }};
  return theorem;
}

TEST_F(Replays, AFunctionThatIsWrongWithoutTheDefectIsNoReplay) {
  const auto right = theorem_of(99);
  const auto twin = smt::prove(right, Side::broken_rule, {});
  auto replay = replay_twin(right, twin, "", {});
  EXPECT_EQ(replay.kind, ReplayKind::function);
  EXPECT_TRUE(replay.shows && replay.mended);
  // A rule that is wrong for the same numbers: not the defect's doing.
  replay = replay_twin(theorem_of(8), twin, "", {});
  EXPECT_TRUE(replay.shows);
  EXPECT_FALSE(replay.mended);
}

TEST_F(Replays, ATwinThatIsMendedShowsNothing) {
  auto theorem = theorem_of(99);
  const auto twin = smt::prove(theorem, Side::broken_rule, {});
  theorem.body = smt::FormulaBody{{[](Side) { return small<smt::Symbolic>(Side::true_rule, 99); }},
                                  {[](Side) { return small<smt::Concrete>(Side::true_rule, 99); }}};
  const auto replay = replay_twin(theorem, twin, "", {});
  EXPECT_EQ(replay.kind, ReplayKind::function);
  EXPECT_FALSE(replay.shows);
}

TEST_F(Replays, ProveFailsWhereAReplayIsMissing) {
  ProveOptions options;
  options.failures.clear();
  options.second_opinion = false;
  options.theorems = {theorem_of(99)};
  auto report = prove(options);
  ASSERT_TRUE(report);
  EXPECT_EQ(verdict_of(*report), props::Verdict::pass) << reason_of(*report);
  report->rows[0].twin.replay.mended = false;
  EXPECT_EQ(verdict_of(*report), props::Verdict::fail);
  EXPECT_EQ(reason_of(*report), "small: the replay of its twin goes wrong without the defect, too");
  report->rows[0].twin.replay.shows = false;
  EXPECT_EQ(reason_of(*report),
            "small: the replay of its twin does not show it on functions of spec and impl, the "
            "twin's defect in one");
  // What is bounded by its own account has no other reason.
  const auto proof = report->rows[0].rule.proof;
  report->rows[0].rule.proof.result = smt::Result::bounded;
  EXPECT_NE(reason_of(*report).find("does not show it on"), std::string::npos);
  report->rows[0].rule.proof = proof;
  report->rows[0].twin.replay = {};
  report->rows[0].twin.replay.reason = "nobody knows";
  EXPECT_EQ(reason_of(*report), "small: the replay of its twin cannot be made: nobody knows");
}

TEST(ReplaysOf, DefectsThatTheyNameExist) {
  std::vector<std::string> names;
  for (const auto& mutant : props::impl_mutants()) names.push_back(mutant.name);
  for (const auto& mutant : props::impl_twin_defects()) names.push_back(mutant.name);
  unsigned named = 0;
  auto all = smt::theorems();
  const auto& refinement = smt::refinement_theorems();
  all.insert(all.end(), refinement.begin(), refinement.end());
  for (const auto& theorem : all) {
    const auto defect = impl_defect_of_twin(theorem.name);
    if (defect.empty()) continue;
    ++named;
    EXPECT_NE(std::ranges::find(names, defect), names.end()) << theorem.name << ": " << defect;
  }
  EXPECT_GE(named, 15u + 55u);
}

TEST(ReplaysOf, AProgramThatCannotBeRunShowsNothing) {
  const DefectReplayOptions options{.mutants = "/nowhere", .folder = {}};
  const auto replay = replay_with_defect("lockstep 1\n", "quadrant-lost", options);
  EXPECT_FALSE(replay.fails || replay.passes);
}

}  // namespace
}  // namespace lockstep::jobs
