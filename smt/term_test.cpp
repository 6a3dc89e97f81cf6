// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/term.h"

#include <gtest/gtest.h>

#include "smt/evaluate.h"
#include "smt/smtlib.h"
#include "spec/vocabulary/word.h"

namespace lockstep {
namespace {

/// A function of the kind that spec/ and impl/ hold.
template <typename W>
W middle(W value, BoolOf<W> upper) {
  return ite(upper, value >> 32, value) & bit_range<W>(31, 0);
}

}  // namespace
}  // namespace lockstep

namespace lockstep::smt {
namespace {

const Word x = Word::variable("x");
const Word y = Word::variable("y");
const Bool b = Bool::variable("b");
const Int n = Int::variable("n");

TEST(Term, OneTextRunsOnNumbersAndOnTerms) {
  const Word term = middle<Word>(x, b);
  for (const std::uint64_t value : {0ull, 0x1234'5678'9abc'def0ull, ~0ull}) {
    for (const bool upper : {false, true}) {
      EXPECT_EQ(evaluate(term.node(), {{"x", value}, {"b", upper}}),
                middle<std::uint64_t>(value, upper));
    }
  }
}

TEST(Term, ConstantsFold) {
  EXPECT_EQ((Word(6) * 7 + 0).node()->value, 42u);
  EXPECT_EQ((x & 0).node()->op, Op::constant);
  EXPECT_EQ((x | 0).node(), x.node());
  EXPECT_EQ((b && Bool(true)).node(), b.node());
  EXPECT_EQ(ite(Bool(false), x, y).node(), y.node());
  EXPECT_EQ((!!b).node(), b.node());
}

TEST(Term, WordsAreUnsignedAndIntegersAreNot) {
  const Word all_ones = ~0ull;
  EXPECT_TRUE(holds(x < all_ones, {{"x", 1}}));
  EXPECT_TRUE(holds(n < 0, {{"n", static_cast<std::uint64_t>(-1)}}));
  EXPECT_FALSE(holds(n < -1, {{"n", static_cast<std::uint64_t>(-1)}}));
}

TEST(Term, DefinednessNamesShiftsThatCppForbids) {
  Bool owed;
  {
    const Definedness defined;
    const Word shifted = x << y;
    owed = defined.all();
    EXPECT_EQ(evaluate(shifted.node(), {{"x", 1}, {"y", 64}}), 0u);
  }
  EXPECT_TRUE(holds(owed, {{"y", 63}}));
  EXPECT_FALSE(holds(owed, {{"y", 64}}));
}

TEST(Term, DefinednessNamesIndicesPastTheEnd) {
  const Definedness defined;
  const std::array<Word, 3> table = {10, 20, 30};
  const Word found = select(table, x);
  EXPECT_EQ(evaluate(found.node(), {{"x", 1}}), 20u);
  EXPECT_TRUE(holds(defined.all(), {{"x", 2}}));
  EXPECT_FALSE(holds(defined.all(), {{"x", 3}}));
}

TEST(Term, SmtLibNamesEverySortAndOperator) {
  const std::string text = smtlib({x + y < (x << 3), b, n + 1 <= n}, "unsat", "one\ntwo");
  EXPECT_NE(text.find("; one\n; two\n"), text.npos) << text;
  EXPECT_NE(text.find("(set-info :status unsat)\n(set-logic ALL)\n"), text.npos) << text;
  EXPECT_NE(text.find("(declare-const b Bool)\n"), text.npos) << text;
  EXPECT_NE(text.find("(declare-const n Int)\n"), text.npos) << text;
  EXPECT_NE(text.find("(declare-const x (_ BitVec 64))\n"), text.npos) << text;
  EXPECT_NE(text.find("(bvshl x #x0000000000000003)"), text.npos) << text;
  EXPECT_NE(text.find("(+ n 1)"), text.npos) << text;
  EXPECT_NE(text.find("(check-sat)\n"), text.npos) << text;
}

}  // namespace
}  // namespace lockstep::smt
