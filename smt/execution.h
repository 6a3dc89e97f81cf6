// SPDX-License-Identifier: GPL-2.0-or-later
/// Counterexamples executed: the rules of spec/ and impl/ run on the numbers that
/// the solver found, and so does a protocol's run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "smt/prover.h"
#include "smt/theorem.h"

namespace lockstep::smt {

struct Execution {
  /// `none`: nothing was run, for the reason in `text`. `formula`: the compiled
  /// functions, on numbers. `run`: a protocol, step by step.
  enum class Kind : std::uint8_t { none, formula, run };
  Kind kind = Kind::none;
  /// The precondition holds and the claim does not; the run leads to a state
  /// without the property.
  bool refutes = false;
  std::vector<std::string> text;  ///< what was computed, or why nothing was
};

/// Execute the counterexample of a refuted theorem or twin.
Execution execute(const Theorem& theorem, Side side, const Proof& proof);

}  // namespace lockstep::smt
