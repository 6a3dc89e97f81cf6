// SPDX-License-Identifier: GPL-2.0-or-later
/// Kernel functions on terms: what their text computes with where it is proved.
///
/// `u64` of the kernel becomes U64, a term. A condition on one has no truth value,
/// so each such branch is taken both ways, and what it was taken for becomes part
/// of the path's condition. That is sound for functions without loops on symbolic
/// conditions and without symbolic indices: every input follows exactly one path.
#pragma once

#include <cstdint>
#include <vector>

#include "smt/term.h"

namespace lockstep::smt::kernel {

/// The paths through one function. One thread, one at a time.
class Paths {
 public:
  /// Call function() once for each path and visit(condition, result).
  template <typename Function, typename Visit>
  static void each(Function&& function, Visit&& visit) {
    decisions().clear();
    for (;;) {
      next() = 0;
      condition() = true;
      const auto result = function();
      visit(condition(), result);
      while (!decisions().empty() && !decisions().back()) decisions().pop_back();
      if (decisions().empty()) return;
      decisions().back() = false;
    }
  }
  /// The branch of this path at a condition.
  static bool take(const Bool& branch) {
    if (branch.node()->op == Op::constant) return branch.node()->value != 0;
    if (next() == decisions().size()) decisions().push_back(true);
    const bool taken = decisions()[next()++];
    condition() = condition() && (taken ? branch : !branch);
    return taken;
  }

 private:
  static std::vector<bool>& decisions() {
    static std::vector<bool> all;
    return all;
  }
  static std::size_t& next() {
    static std::size_t at = 0;
    return at;
  }
  static Bool& condition() {
    static Bool all;
    return all;
  }
};

class U64 {
 public:
  U64() = default;
  U64(std::integral auto value) : word_(static_cast<std::uint64_t>(value)) {}
  U64(Word word) : word_(std::move(word)) {}
  const Word& word() const { return word_; }
  operator bool() const { return Paths::take(word_ != 0); }

 private:
  Word word_;
};

// A template for each mixture of operands: a built-in operator on what converts to
// bool must never be as good.
template <typename A, typename B>
concept Operands = (std::same_as<A, U64> && (std::same_as<B, U64> || std::integral<B>)) ||
                   (std::integral<A> && std::same_as<B, U64>);
#define LOCKSTEP_OPERATOR(op)                                         \
  template <typename A, typename B>                                   \
  requires Operands<A, B> U64 operator op(const A& a, const B& b) {   \
    return U64(U64(a).word() op U64(b).word());                       \
  }                                                                   \
  template <typename B>                                               \
  requires Operands<U64, B> U64& operator op##=(U64& a, const B& b) { \
    return a = U64(a.word() op U64(b).word());                        \
  }
LOCKSTEP_OPERATOR(&)
LOCKSTEP_OPERATOR(|)
LOCKSTEP_OPERATOR(^)
LOCKSTEP_OPERATOR(+)
LOCKSTEP_OPERATOR(-)
LOCKSTEP_OPERATOR(*)
LOCKSTEP_OPERATOR(<<)
LOCKSTEP_OPERATOR(>>)
#undef LOCKSTEP_OPERATOR
#define LOCKSTEP_OPERATOR(op)       \
  template <typename A, typename B> \
  requires Operands<A, B>           \
  bool operator op(const A& a, const B& b) { return Paths::take(U64(a).word() op U64(b).word()); }
LOCKSTEP_OPERATOR(==)
LOCKSTEP_OPERATOR(!=)
LOCKSTEP_OPERATOR(<)
LOCKSTEP_OPERATOR(<=)
LOCKSTEP_OPERATOR(>)
LOCKSTEP_OPERATOR(>=)
#undef LOCKSTEP_OPERATOR
inline U64 operator~(const U64& a) { return U64(~a.word()); }

}  // namespace lockstep::smt::kernel
