// SPDX-License-Identifier: GPL-2.0-or-later
/// From a theorem to a result.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "smt/solver.h"
#include "smt/theorem.h"

namespace lockstep::smt {

/// `bounded`: no counterexample in runs up to a bound, nothing said beyond.
/// `vacuous`: no input meets the precondition, so that nothing was claimed.
/// `unknown`: the solver gave up, for a reason that is given.
enum class Result : std::uint8_t { proved, refuted, bounded, timeout, unknown, vacuous };
std::string_view name(Result result);

/// An unsatisfiable answer that a second solver may check.
struct Unsatisfiable {
  std::string name;  ///< of the query within its theorem: "claim", "step"
  std::vector<Bool> terms;
};

struct Proof {
  Result result = Result::unknown;
  unsigned bound = 0;              ///< steps, of `bounded` and of a protocol's counterexample
  std::string reason;              ///< one line, where there is one to give
  bool absent = false;             ///< no solver in this build
  bool interrupted = false;        ///< somebody asked to stop
  double cpu_seconds = 0;          ///< of the solver
  Assignment counterexample;       ///< of `refuted`
  std::vector<std::string> story;  ///< the counterexample, a line each
  std::vector<Unsatisfiable> assumptions;  ///< the answers that the result rests on
};

/// Prove a theorem, or refute it. `side` chooses the rule or its twin.
Proof prove(const Theorem& theorem, Side side, const Limits& limits);

/// A query of the theorem, for a dump, with the status that is expected.
struct NamedQuery {
  std::string name;
  std::string status;  ///< "sat" or "unsat"
  std::vector<Bool> terms;
};
/// Every query that a proof of the theorem and its twin rests on.
std::vector<NamedQuery> queries(const Theorem& theorem);

}  // namespace lockstep::smt
