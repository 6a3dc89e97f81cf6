// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/term_text.h"

#include <gtest/gtest.h>

#include "smt/smtlib.h"

namespace lockstep::smt {
namespace {

TEST(TermText, IsReadAsItWasWritten) {
  const auto x = Word::variable("x"), y = Word::variable("vcpu0.cr0.wp");
  const auto p = Bool::variable("p");
  const auto n = Int::variable("n");
  const auto sum = x + y * 3 - (x / y) % 5;
  const std::vector<Bool> terms = {ite(p, sum, ~x) == (sum << 3), (x >> 1) < y && !(y <= x),
                                   (p ^ (n < -4)) || n + 2 <= n - 1,
                                   ((x & y) | (x ^ y)) == 0xffff'ffff'ffff'ffff, p};
  const auto text = write_terms(terms);
  const auto read = read_terms(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(write_terms(*read), text);
  EXPECT_EQ(smtlib(*read, "sat", ""), smtlib(terms, "sat", ""));
  // What was shared is one node still.
  EXPECT_EQ((*read)[0].node()->children[0]->children[1],
            (*read)[0].node()->children[1]->children[0]);
}

TEST(TermText, OfAnotherKindIsRefused) {
  for (const char* text :
       {"", "terms 0\n", "1 0 0 p 0\n", "99 0 0 - 0\nterms 0\n", "1 7 0 p 0\nterms 0\n",
        "6 0 0 - 1\nterms 0\n", "6 0 0 - 1 0\nterms 0\n", "1 0 0 p 0\nterms 1\n", "x\n"}) {
    EXPECT_FALSE(read_terms(text)) << text;
  }
  EXPECT_TRUE(read_terms("1 0 0 p 0\nterms 0\n"));
}

}  // namespace
}  // namespace lockstep::smt
