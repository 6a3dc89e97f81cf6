// SPDX-License-Identifier: GPL-2.0-or-later
/// The solver within its limits, and the second one.
#include "smt/solver.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "smt/limited_child.h"
#include "smt/second_solver.h"
#include "smt/solver_process.h"

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

TEST_F(Solver, AnswersAfterAQueryThatWasEnded) {
  const auto answers = [] {
    const auto answer = check({x == 7}, {});
    return answer.kind == Answer::Kind::sat && answer.model.at("x") == 7;
  };
  const std::atomic<bool> stop = true;
  Limits requested, little, brief;
  requested.stop = &stop;
  little.memory_mib = 8;
  brief.time = milliseconds(100);
  EXPECT_TRUE(answers());
  EXPECT_EQ(check(hard(), requested).kind, Answer::Kind::interrupted);
  EXPECT_TRUE(answers());
  EXPECT_EQ(check(hard(), little).kind, Answer::Kind::memory);
  EXPECT_TRUE(answers());
  EXPECT_EQ(check(hard(), brief).kind, Answer::Kind::timeout);
  EXPECT_TRUE(answers());
}

/// More than one process of a solver answers.
TEST_F(Solver, AnswersManyQueries) {
  for (std::uint64_t i = 0; i < 40; ++i) {
    const auto answer = check({x + i == 7}, {});
    ASSERT_EQ(answer.kind, Answer::Kind::sat);
    ASSERT_EQ(answer.model.at("x"), 7 - i);
    ASSERT_EQ(check({x == i, x == i + 1}, {}).kind, Answer::Kind::unsat);
  }
}

/// Who ended it did not end a query.
TEST_F(Solver, ThatDiedMeanwhileIsStartedAnew) {
  SolverProcess process;
  EXPECT_EQ(process.ask({x == 7}, {}).output, "sat\nx 7\n");
  const pid_t first = process.id();
  ASSERT_EQ(kill(first, SIGKILL), 0);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(first), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(process.ask({x == 9}, {}).output, "sat\nx 9\n");
  EXPECT_NE(process.id(), first);
}

TEST_F(Solver, AChildHasASolverOfItsOwn) {
  ASSERT_EQ(check({x == 7}, {}).kind, Answer::Kind::sat);
  for (int i = 0; i < 3; ++i) {
    const auto child =
        run_limited_child([](int) { _exit(check({x == 9}, {}).kind == Answer::Kind::sat ? 5 : 6); },
                          std::chrono::seconds(60), nullptr);
    EXPECT_EQ(child.status, 5);
    EXPECT_EQ(check({x == 7}, {}).kind, Answer::Kind::sat);
  }
}

TEST(SecondSolver, ConfirmsOrContradicts) {
  if (second_solver_path().empty()) GTEST_SKIP() << "no " << second_solver_package;
  const auto opinion = [](const std::vector<Bool>& terms) {
    return second_opinion(terms, {}).kind;
  };
  EXPECT_EQ(opinion({(x & 1) == 1, (x << 63) == 0}), SecondOpinion::Kind::agrees);
  EXPECT_EQ(opinion({x == 7}), SecondOpinion::Kind::disagrees);
  Limits limits;
  limits.time = milliseconds(300);
  EXPECT_EQ(second_opinion(hard(), limits).kind, SecondOpinion::Kind::timeout);
}

TEST(SecondSolver, EndsAtItsLimitOfMemory) {
  if (second_solver_path().empty()) GTEST_SKIP() << "no " << second_solver_package;
  Limits limits;
  limits.memory_mib = 48;
  EXPECT_EQ(second_opinion(hard(), limits).kind, SecondOpinion::Kind::memory);
}

/// A solver of ours in front of whatever PATH has.
class FakeSecondSolver : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("lockstep-second-solver-test-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    path_ = std::getenv("PATH");
    setenv("PATH", (folder_.string() + ":" + path_).c_str(), 1);
  }
  void TearDown() override {
    setenv("PATH", path_.c_str(), 1);
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
  }
  SecondOpinion asked(const std::string& script, const Limits& limits = {}) {
    const auto file = folder_ / "cvc5";
    std::ofstream(file) << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    return second_opinion({x == 7}, limits);
  }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(FakeSecondSolver, AnswersCountOnlyIfItEndsWell) {
  EXPECT_EQ(asked("echo unsat").kind, SecondOpinion::Kind::agrees);
  EXPECT_EQ(asked("echo sat").kind, SecondOpinion::Kind::disagrees);
  EXPECT_EQ(asked("echo unsat; exit 1").kind, SecondOpinion::Kind::failed);
  EXPECT_EQ(asked("echo unsat; kill -9 $$").kind, SecondOpinion::Kind::failed);
}

TEST_F(FakeSecondSolver, SaysWhyItGaveNoAnswer) {
  const auto parse = asked("echo '(error \"no such logic\")'; exit 1");
  EXPECT_EQ(parse.kind, SecondOpinion::Kind::failed);
  EXPECT_EQ(parse.reason, "(error \"no such logic\")");
  EXPECT_EQ(asked("exit 3").reason, "it ended with 3 and said nothing");
  EXPECT_EQ(asked("kill -11 $$").reason.substr(0, 20), "it died of signal 11");
}

TEST_F(FakeSecondSolver, ARequestEndsIt) {
  const std::atomic<bool> stop = true;
  Limits limits;
  limits.stop = &stop;
  EXPECT_EQ(asked("sleep 10", limits).kind, SecondOpinion::Kind::interrupted);
}

}  // namespace
}  // namespace lockstep::smt
