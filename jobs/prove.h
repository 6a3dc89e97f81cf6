// SPDX-License-Identifier: GPL-2.0-or-later
/// `prove`: every theorem, its twin, a second opinion, and counterexamples
/// replayed as programs.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "jobs/defect_replay.h"
#include "props/verdict.h"
#include "smt/execution.h"
#include "smt/prover.h"
#include "smt/theorem.h"

namespace lockstep::jobs {

/// A program beside the model on one more engine: pass, fail, or no verdict where
/// the engine skips it or cannot run, for the reason in `shown`.
struct EngineReplay {
  std::string engine;
  props::Verdict verdict = props::Verdict::no_verdict;
  std::string shown;
};

/// A counterexample as a program, and what became of it on engines.
struct CounterexampleProgram {
  std::string text;  ///< empty: the counterexample has no program; see Theorem::scenario
  props::Verdict verdict = props::Verdict::no_verdict;  ///< of the replay
  std::string shown;                 ///< the replay's finding or reason, some lines
  std::filesystem::path path;        ///< where it was saved; may be empty
  std::vector<EngineReplay> others;  ///< of ProveOptions::engines, without expectations
};

/// A theorem, or its twin.
struct SideRow {
  smt::Proof proof;
  CounterexampleProgram program;
  smt::Execution execution;  ///< of a counterexample, whether it has a program or not
  DefectReplay replay;       ///< of the twin's
  /// Of a refuted protocol: systems run impl's functions, and need no defect to fail.
  std::filesystem::path schedule;
};

struct TheoremRow {
  smt::Theorem theorem;
  SideRow rule;
  SideRow twin;
  unsigned agreed = 0;        ///< unsatisfiable answers that cvc5 confirmed
  unsigned unconfirmed = 0;   ///< that it did not decide in time or memory
  std::string second_failed;  ///< why cvc5 gave no answer at all; empty if it did
  bool contradicted = false;  ///< cvc5 found a model where Z3 found none
  bool interrupted = false;   ///< somebody asked to stop while cvc5 ran
  double second_seconds = 0;  ///< CPU time of cvc5
};

struct ProveReport {
  std::vector<TheoremRow> rows;
  double seconds = 0;      ///< wall time
  double cpu_seconds = 0;  ///< of Z3
  double second_seconds = 0;
  std::string solver;         ///< "Z3 4.8.12"
  std::string second_solver;  ///< path of cvc5; empty if absent or not wanted
  bool second_wanted = true;
  bool interrupted = false;
  std::vector<std::string> engines;  ///< of ProveOptions
  bool engines_asked = false;
  std::size_t asked = 0;  ///< theorems that were to be proved
};

struct ProveOptions {
  std::vector<smt::Theorem> theorems;
  smt::Limits limits;
  /// CPU time of one replay, which has nothing to do with the solver's.
  std::chrono::milliseconds replay_limit{60'000};
  bool second_opinion = true;
  /// Programs of counterexamples run on these, too: "kvm", "hosted:6.12".
  std::vector<std::string> engines;
  /// Somebody named them: one that can run no program leaves no verdict.
  bool engines_asked = false;
  std::filesystem::path dump;                      ///< folder for SMT-LIB files; may be empty
  std::filesystem::path programs;                  ///< folder for programs of twins; may be empty
  std::filesystem::path failures = "failures";     ///< for programs of refuted theorems
  std::filesystem::path mutants;                   ///< see DefectReplayOptions; may be empty
  std::function<void(std::string_view)> progress;  ///< one line at a time; may be empty
  std::function<void(const TheoremRow&)> done;     ///< may be empty
};

/// The theorems of these names, or whose subject is so named; without a name all
/// but those of refinement. The error names what is unknown, with the nearest.
tl::expected<std::vector<smt::Theorem>, std::string> choose_theorems(
    const std::vector<std::string>& names);

/// Prove them all. The error is one line on a folder that cannot be written.
tl::expected<ProveReport, std::string> prove(const ProveOptions& options);

/// Whether a theorem and its twin came out as they must.
bool holds(const TheoremRow& row);

/// pass: all proved (or bounded, where no more is claimed) and all twins refuted,
/// with replays that show each. fail: a theorem refuted, a twin not. No verdict:
/// the solver is missing, ran out of time or memory, or contradicts the second; the
/// second gave no answer for another reason than its limits; a replay did not end.
props::Verdict verdict_of(const ProveReport& report);
std::string reason_of(const ProveReport& report);

/// One line of 72 columns: name, result, twin, seconds.
std::string text_row(const TheoremRow& row);
/// What is to be said of a theorem that did not come out as it must.
std::string text_details(const TheoremRow& row);
/// The counterexample of a twin, with its program.
std::string text_twin(const TheoremRow& row);
/// The last lines of the page.
std::string text_summary(const ProveReport& report);
/// The array `theorems` of --json.
nlohmann::json json_rows(const ProveReport& report);
/// The array `findings` of --json.
nlohmann::json json_findings(const ProveReport& report);

}  // namespace lockstep::jobs
