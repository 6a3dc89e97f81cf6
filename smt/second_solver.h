// SPDX-License-Identifier: GPL-2.0-or-later
/// A second opinion on unsatisfiable answers: cvc5, as a child process.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "smt/term.h"

namespace lockstep::smt {

struct SecondOpinion {
  enum class Kind : std::uint8_t { agrees, disagrees, timeout, failed, absent };
  Kind kind = Kind::absent;
  double cpu_seconds = 0;
  std::string reason;  ///< one line, of `failed`
};

/// Ask cvc5 whether the terms are unsatisfiable, as the first solver found. The
/// script is written to a temporary file, which is removed again.
SecondOpinion second_opinion(const std::vector<Bool>& terms, std::chrono::milliseconds limit,
                             const std::atomic<bool>* stop);

/// Where cvc5 is; empty if it is not installed.
std::string second_solver_path();
inline constexpr const char* second_solver_package = "cvc5";

}  // namespace lockstep::smt
