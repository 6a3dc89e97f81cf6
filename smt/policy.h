// SPDX-License-Identifier: GPL-2.0-or-later
/// What a formula of a theorem computes with: terms, which a solver decides, or
/// numbers, on which the rules run as spec/ and impl/ run them. One text for both,
/// so that a counterexample can be executed.
#pragma once

#include <cstdint>
#include <string>

#include "smt/evaluate.h"
#include "smt/term.h"
#include "spec/vocabulary/word.h"

namespace lockstep::smt {

/// Variables are variables.
struct Symbolic {
  using Bool = smt::Bool;
  using Word = smt::Word;
  using Int = smt::Int;
  static Bool boolean(std::string name) { return Bool::variable(std::move(name)); }
  static Word word(std::string name) { return Word::variable(std::move(name)); }
  static Int integer(std::string name) { return Int::variable(std::move(name)); }
};

/// Variables are the numbers of a counterexample: the templates of spec/ and
/// impl/ are instantiated as where they run.
struct Concrete {
  using Bool = bool;
  using Word = std::uint64_t;
  using Int = std::int64_t;

  /// While it lives, variables have these values; those that are missing are 0.
  /// One thread; scopes nest.
  class Values {
   public:
    explicit Values(const Assignment& values);
    ~Values();
    Values(const Values&) = delete;
    Values& operator=(const Values&) = delete;

   private:
    const Assignment* outer_;
  };

  static bool boolean(const std::string& name) { return value(name) != 0; }
  static std::uint64_t word(const std::string& name) { return value(name); }
  static std::int64_t integer(const std::string& name) {
    return static_cast<std::int64_t>(value(name));
  }

 private:
  static std::uint64_t value(const std::string& name);
};

// Numbers find the functions of numbers.
using lockstep::ite;
using lockstep::select;

constexpr bool implies(bool a, bool b) { return !a || b; }

}  // namespace lockstep::smt
