// SPDX-License-Identifier: GPL-2.0-or-later
/// Are these terms satisfiable together? Asked of Z3, in a child process, within
/// limits of time and memory.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include "smt/evaluate.h"
#include "smt/term.h"

namespace lockstep::smt {

struct Limits {
  std::chrono::milliseconds time{20'000};   ///< CPU time of one query
  unsigned memory_mib = 1024;               ///< of the solver, of one query
  const std::atomic<bool>* stop = nullptr;  ///< not owned; may be null
};

struct Answer {
  /// `memory`: the limit of memory was reached; `failed`: the solver gave up or
  /// died; `absent`: built without one.
  enum class Kind : std::uint8_t { unsat, sat, timeout, memory, failed, interrupted, absent };
  Kind kind = Kind::failed;
  Assignment model;    ///< of sat; satisfies the terms, as evaluate() finds too
  std::string reason;  ///< one line, of what is neither sat nor unsat
  double cpu_seconds = 0;
};

/// One query. Needs a process with one thread.
Answer check(const std::vector<Bool>& terms, const Limits& limits);

/// "Z3 4.8.12"; empty if the program was built without a solver.
std::string solver_version();
/// The Debian package that a build with a solver needs.
inline constexpr const char* solver_package = "libz3-dev";

}  // namespace lockstep::smt
