// SPDX-License-Identifier: GPL-2.0-or-later
/// The solver within its limits, and the second one.
#include "smt/solver.h"

#include <gtest/gtest.h>

#include "smt/second_solver.h"

namespace lockstep::smt {
namespace {

using std::chrono::milliseconds;

const Word x = Word::variable("x");
const Word y = Word::variable("y");

/// Factors of a product of two primes of 31 bits: no solver finds them quickly.
std::vector<Bool> hard() {
  return {x * y == Word(2147483647ull * 2147483629ull),
          x > 1,
          y > 1,
          x < (1ull << 32),
          y < (1ull << 32),
          x != 2147483647u,
          y != 2147483647u};
}

class Solver : public testing::Test {
 protected:
  void SetUp() override {
    if (solver_version().empty()) GTEST_SKIP() << "built without " << solver_package;
  }
};

TEST_F(Solver, FindsModelsThatHold) {
  const std::vector<Bool> terms = {x + y == 10, x > y};
  const Answer answer = check(terms, {});
  ASSERT_EQ(answer.kind, Answer::Kind::sat) << answer.reason;
  for (const auto& term : terms) EXPECT_TRUE(holds(term, answer.model));
  EXPECT_GT(answer.cpu_seconds, 0);
}

TEST_F(Solver, KnowsWhatHasNone) {
  EXPECT_EQ(check({(x & 1) == 1, (x << 63) == 0}, {}).kind, Answer::Kind::unsat);
  const Int n = Int::variable("n");
  EXPECT_EQ(check({n > 3, n + 1 < 5}, {}).kind, Answer::Kind::unsat);
}

TEST_F(Solver, IntegersHaveNoWidth) {
  const Int n = Int::variable("n");
  EXPECT_EQ(check({n + 1 <= n}, {}).kind, Answer::Kind::unsat);
  EXPECT_EQ(check({x + 1 <= x}, {}).kind, Answer::Kind::sat);
}

TEST_F(Solver, TimeEndsAQuery) {
  Limits limits;
  limits.time = milliseconds(300);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(check(hard(), limits).kind, Answer::Kind::timeout);
  // No more than a guard: a busy machine stretches everything.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::minutes(5));
}

TEST_F(Solver, MemoryEndsAQuery) {
  Limits limits;
  limits.memory_mib = 8;
  EXPECT_EQ(check(hard(), limits).kind, Answer::Kind::memory);
}

TEST_F(Solver, ARequestEndsAQuery) {
  const std::atomic<bool> stop = true;
  Limits limits;
  limits.stop = &stop;
  EXPECT_EQ(check(hard(), limits).kind, Answer::Kind::interrupted);
}

TEST(SecondSolver, ConfirmsOrContradicts) {
  if (second_solver_path().empty()) GTEST_SKIP() << "no " << second_solver_package;
  const auto opinion = [](const std::vector<Bool>& terms) {
    return second_opinion(terms, milliseconds(20'000), nullptr).kind;
  };
  EXPECT_EQ(opinion({(x & 1) == 1, (x << 63) == 0}), SecondOpinion::Kind::agrees);
  EXPECT_EQ(opinion({x == 7}), SecondOpinion::Kind::disagrees);
  EXPECT_EQ(second_opinion(hard(), milliseconds(300), nullptr).kind, SecondOpinion::Kind::timeout);
}

}  // namespace
}  // namespace lockstep::smt
