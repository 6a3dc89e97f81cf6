// SPDX-License-Identifier: GPL-2.0-or-later
/// A process that asks Z3, one query after the other. To fork for each query would copy
/// the page tables of a process that holds all theorems, and most of its pages after.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

#include "smt/limited_child.h"
#include "smt/solver.h"
#include "smt/term.h"

namespace lockstep::smt {

class SolverProcess {
 public:
  SolverProcess() = default;
  SolverProcess(const SolverProcess&) = delete;
  SolverProcess& operator=(const SolverProcess&) = delete;
  ~SolverProcess() { stop(); }

  /// What ask_z3() says in the process (smt/z3_solver.h), within the limits. The process
  /// is started where there is none, and ended where the query was: by time, by request,
  /// by a signal. An answer for want of memory is one of a fresh process. The CPU time is
  /// that of the query. The caller must have one thread.
  ChildResult ask(const std::vector<Bool>& terms, const Limits& limits);

  /// The process as the system knows it; 0: there is none.
  pid_t id() const { return process_; }

 private:
  bool start();
  void stop();
  ChildResult ask_once(const std::string& query, const Limits& limits);

  pid_t process_ = 0;
  pid_t owner_ = 0;  ///< who started it: not a child that inherited this object
  int to_ = -1;
  int from_ = -1;
  unsigned asked_ = 0;
};

}  // namespace lockstep::smt
