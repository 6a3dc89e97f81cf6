// SPDX-License-Identifier: GPL-2.0-or-later
/// A second opinion on unsatisfiable answers: cvc5, as a child process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "smt/solver.h"
#include "smt/term.h"

namespace lockstep::smt {

struct SecondOpinion {
  /// `memory`: the limit was reached; `failed`: the solver died or said neither.
  enum class Kind : std::uint8_t {
    agrees,
    disagrees,
    timeout,
    memory,
    failed,
    interrupted,
    absent
  };
  Kind kind = Kind::absent;
  double cpu_seconds = 0;
  std::string reason;  ///< one line, of `failed`
};

/// Ask cvc5 whether the terms are unsatisfiable, as the first solver found. The
/// script is written to a temporary file, which is removed again. The limit of memory
/// is one of address space.
SecondOpinion second_opinion(const std::vector<Bool>& terms, const Limits& limits);

/// Where cvc5 is; empty if it is not installed.
std::string second_solver_path();
inline constexpr const char* second_solver_package = "cvc5";

}  // namespace lockstep::smt
