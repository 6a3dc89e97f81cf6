// SPDX-License-Identifier: GPL-2.0-or-later
/// Counterexamples of twins replayed on something that has the twin's defect, and again
/// without it: the first must go wrong, the second must not.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "smt/prover.h"
#include "smt/theorem.h"

namespace lockstep::jobs {

/// `program`: of the counterexample's own numbers, on impl. `schedule`: threads in the
/// counterexample's order, on a system of props/schedule. `function`: the compiled
/// functions of spec and impl on the counterexample's numbers.
enum class ReplayKind : std::uint8_t { none, function, schedule, program };
std::string_view name(ReplayKind kind);

struct DefectReplay {
  ReplayKind kind = ReplayKind::none;
  std::string with;            ///< what ran and had the defect: "impl, defect quadrant-lost"
  bool shows = false;          ///< with the defect it goes wrong
  bool mended = false;         ///< without it does not
  bool undecided = false;      ///< a replay came to no verdict, for the reason in `shown`
  std::string reason;          ///< of `none`, or why it is no more than a function; a line
  std::string text;            ///< of a schedule
  std::filesystem::path path;  ///< of the schedule; may be empty
  std::string command;         ///< that replays the file, without its name
  std::string shown;           ///< what happened, some lines
};

struct DefectReplayOptions {
  /// The program lockstep-mutants; empty: no program can be replayed with a defect.
  std::filesystem::path mutants;
  std::filesystem::path folder;             ///< for schedules; may be empty
  std::chrono::milliseconds limit{60'000};  ///< CPU time of one replay
  const std::atomic<bool>* stop = nullptr;  ///< not owned
};

/// Name of impl's defect that is the twin's broken rule; empty if impl has none.
std::string_view impl_defect_of_twin(std::string_view theorem);

/// Replay the counterexample of a refuted twin as what comes first of a program, a
/// schedule, functions. `program` is its text, empty if it has none of its own numbers.
DefectReplay replay_twin(const smt::Theorem& theorem, const smt::Proof& twin,
                         const std::string& program, const DefectReplayOptions& options);

/// Whether a program FAILs (true) or passes (false) on spec and impl with a defect, an
/// empty name for none, in a process of its own; the reason otherwise.
struct ProgramReplay {
  bool fails = false;
  bool passes = false;
  bool undecided = false;  ///< neither: no time, no process, no verdict
  std::string shown;
};
ProgramReplay replay_with_defect(const std::string& program, std::string_view defect,
                                 const DefectReplayOptions& options);

}  // namespace lockstep::jobs
