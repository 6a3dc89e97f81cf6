// SPDX-License-Identifier: GPL-2.0-or-later
/// Results of theorems, on small ones.
#include "smt/prover.h"

#include "smt/execution.h"

#include <gtest/gtest.h>

namespace lockstep::smt {
namespace {

template <typename Body>
Theorem theorem_of(Body body) {
  Theorem theorem;
  theorem.name = "small";
  theorem.body = std::move(body);
  return theorem;
}

class Prover : public testing::Test {
 protected:
  void SetUp() override {
    if (solver_version().empty()) GTEST_SKIP() << "built without " << solver_package;
  }
  static Proof of_formula(std::function<Formula(Side)> body) {
    return prove(theorem_of(FormulaBody{std::move(body), {}}), Side::true_rule, {});
  }
  static Proof of_protocol(std::function<Protocol(Side)> body) {
    return prove(theorem_of(std::move(body)), Side::true_rule, {});
  }
};

const Word x = Word::variable("x");

TEST_F(Prover, ProvesForAllInputs) {
  const auto proof = of_formula([](Side) -> Formula {
    return {.precondition = x < 512, .claim = (x / 8) * 8 <= x, .shown = {}};
  });
  EXPECT_EQ(proof.result, Result::proved);
  ASSERT_EQ(proof.assumptions.size(), 1u);
  EXPECT_EQ(proof.assumptions[0].name, "claim");
}

TEST_F(Prover, RefutesWithValues) {
  const auto proof = of_formula([](Side) -> Formula {
    return {.precondition = true, .claim = x != 7, .shown = {{"x", x}}};
  });
  EXPECT_EQ(proof.result, Result::refuted);
  EXPECT_EQ(proof.story, std::vector<std::string>{"x = 0x7"});
}

TEST_F(Prover, CallsAnEmptyPreconditionVacuous) {
  const auto proof = of_formula([](Side) -> Formula {
    return {.precondition = x < 1 && x > 1, .claim = false, .shown = {}};
  });
  EXPECT_EQ(proof.result, Result::vacuous);
}

TEST_F(Prover, RefutesUndefinedShifts) {
  const auto proof = of_formula([](Side) -> Formula {
    const Word shifted = Word(1) << x;
    return {.precondition = true, .claim = shifted == shifted, .shown = {}};
  });
  EXPECT_EQ(proof.result, Result::refuted);
  EXPECT_GE(proof.counterexample.at("x"), 64u);
}

/// A counter that steps by two from zero.
Protocol counter(int limit) {
  const Int n = Int::variable("n");
  Protocol protocol;
  protocol.state = {{"n", Sort::integer}};
  protocol.initial = n == 0;
  protocol.transitions = {Transition{"adds two", true, {}}.set("n", n + 2)};
  protocol.property = n != limit;
  protocol.invariant = n >= 0 && n != limit;
  return protocol;
}

TEST_F(Prover, TellsTheShortestRun) {
  const auto proof = of_protocol([](Side) { return counter(4); });
  EXPECT_EQ(proof.result, Result::refuted);
  EXPECT_EQ(proof.bound, 2u);
  const std::vector<std::string> run = {"adds two: n = 2", "adds two: n = 4",
                                        "here the property does not hold"};
  EXPECT_EQ(proof.story, run);
}

TEST_F(Prover, ExecutesARunStepByStep) {
  const auto body = [](Side) { return counter(4); };
  auto proof = of_protocol(body);
  const auto execution = execute(theorem_of(ProtocolBody(body)), Side::true_rule, proof);
  EXPECT_EQ(execution.kind, Execution::Kind::run);
  EXPECT_TRUE(execution.refutes);
  // Another limit: the same steps lead nowhere.
  const auto harmless = [](Side) { return counter(5); };
  EXPECT_FALSE(execute(theorem_of(ProtocolBody(harmless)), Side::true_rule, proof).refutes);
  // A start that is none, and a choice whose guard does not hold.
  proof.counterexample["n.0"] = 4;
  EXPECT_FALSE(execute(theorem_of(ProtocolBody(body)), Side::true_rule, proof).refutes);
  const auto guarded = [](Side) {
    Protocol protocol = counter(4);
    protocol.transitions[0].guard = Int::variable("n") > 0;
    return protocol;
  };
  proof.counterexample["n.0"] = 0;
  EXPECT_FALSE(execute(theorem_of(ProtocolBody(guarded)), Side::true_rule, proof).refutes);
}

TEST_F(Prover, DoesNotExecuteWhatIsUndefined) {
  const auto terms = [](Side) -> Formula {
    const Word shifted = Word(1) << x;
    return {.precondition = true, .claim = shifted == shifted, .shown = {}};
  };
  const auto numbers = [](Side) -> FormulaOf<Concrete> { return {.claim = false, .shown = {}}; };
  const auto theorem = theorem_of(FormulaBody{terms, numbers});
  const auto proof = prove(theorem, Side::true_rule, {});
  const auto execution = execute(theorem, Side::true_rule, proof);
  EXPECT_EQ(execution.kind, Execution::Kind::none);
  EXPECT_FALSE(execution.refutes);
}

TEST_F(Prover, ProvesByInductionBeyondAnyBound) {
  const auto proof = of_protocol([](Side) { return counter(-1); });
  EXPECT_EQ(proof.result, Result::proved);
  EXPECT_EQ(proof.assumptions.size(), 3u);
}

TEST_F(Prover, SaysWhichObligationAnInvariantFails) {
  // No run reaches an odd number, but the invariant does not say so.
  const auto proof = of_protocol([](Side) { return counter(99); });
  EXPECT_EQ(proof.result, Result::bounded);
  EXPECT_EQ(proof.bound, 8u);
  EXPECT_NE(proof.reason.find("not inductive: step"), std::string::npos) << proof.reason;
}

TEST_F(Prover, AStepThatChangesNoStateIsNoProtocol) {
  const auto with_update = [&](const std::string& variable, int times) {
    return of_protocol([=](Side) {
      Protocol protocol = counter(-1);
      protocol.transitions.push_back({"typo", true, {}});
      for (int i = 0; i < times; ++i) protocol.transitions.back().set(variable, Int(2));
      return protocol;
    });
  };
  const auto unknown = with_update("m", 1);
  EXPECT_EQ(unknown.result, Result::unknown);
  EXPECT_EQ(unknown.reason, "no protocol: 'typo' changes m, which is no state");
  const auto twice = with_update("n", 2);
  EXPECT_EQ(twice.result, Result::unknown);
  EXPECT_EQ(twice.reason, "no protocol: 'typo' changes n twice");
  const auto sort = of_protocol([](Side) {
    Protocol protocol = counter(-1);
    protocol.transitions.push_back({"typo", true, {}});
    protocol.transitions.back().set("n", Bool(true));
    return protocol;
  });
  EXPECT_EQ(sort.reason, "no protocol: 'typo' changes n to another sort");
}

TEST_F(Prover, AStepThatNeverHappensIsVacuous) {
  const auto proof = of_protocol([](Side) {
    Protocol protocol = counter(-1);
    protocol.transitions.push_back({"never", Int::variable("n") < 0, {}});
    return protocol;
  });
  EXPECT_EQ(proof.result, Result::vacuous);
  EXPECT_EQ(proof.reason, "'never' can never happen");
}

TEST_F(Prover, AStepThatIsUndefinedIsNoProof) {
  const auto shifting = [&](std::uint64_t most) {
    return of_protocol([most](Side) {
      Protocol protocol;
      protocol.state = {{"by", Sort::word}, {"value", Sort::word}};
      const Word by = Word::variable("by");
      protocol.initial = by < 63 && Word::variable("value") == 1;
      protocol.transitions.push_back({"shift", true, {}});
      protocol.transitions.back().set("value", Word(1) << by).set("by", ite(by < most, by + 1, 0));
      protocol.invariant = by <= most;
      protocol.depth = 4;
      return protocol;
    });
  };
  EXPECT_EQ(shifting(63).result, Result::proved);
  EXPECT_EQ(shifting(64).result, Result::refuted);
}

TEST_F(Prover, SaysTheBoundWhereNoInvariantIsGiven) {
  const auto proof = of_protocol([](Side) {
    Protocol protocol = counter(99);
    protocol.inductive = false;
    return protocol;
  });
  EXPECT_EQ(proof.result, Result::bounded);
  EXPECT_EQ(proof.reason, "");
}

TEST_F(Prover, TimeAndMemoryAreNoProof) {
  const auto body = [](Side) -> Formula {
    const Word y = Word::variable("y");
    return {.precondition = x > 1 && y > 1 && x < (1ull << 32) && y < (1ull << 32) && x < y,
            .claim = x * y != Word(2147483647ull * 2147483629ull),
            .shown = {}};
  };
  const Theorem theorem = theorem_of(FormulaBody{body, {}});
  Limits limits;
  limits.time = std::chrono::milliseconds(300);
  EXPECT_EQ(prove(theorem, Side::true_rule, limits).result, Result::timeout);
  limits = {};
  limits.memory_mib = 8;
  const auto proof = prove(theorem, Side::true_rule, limits);
  EXPECT_EQ(proof.result, Result::unknown);
  EXPECT_NE(proof.reason.find("memory exhausted"), std::string::npos) << proof.reason;
}

}  // namespace
}  // namespace lockstep::smt
