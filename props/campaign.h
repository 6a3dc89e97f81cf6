// SPDX-License-Identifier: GPL-2.0-or-later
/// The loop around the generators: cases in worker processes, crashes and
/// hangs as findings, shrinking, reach, and one verdict.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "props/cases.h"
#include "props/engine_factory.h"
#include "props/finding.h"
#include "props/model.h"
#include "props/verdict.h"
#include "spec/program.h"

namespace lockstep::props {

/// What the run looks like from outside, some times a second.
struct Progress {
  double seconds = 0;
  std::uint64_t cases = 0;
  std::uint64_t commands = 0;  ///< over all engines
  std::size_t findings = 0;
  /// "canary", "cases", "shrink TITLE".
  std::string phase;
};

/// One distinct finding of a run.
struct CampaignFinding {
  Finding finding;
  /// The program as saved: shrunk if there was time.
  Program program;
  /// File with the program; a directory of files in order if only the whole
  /// sequence since the last fresh VM shows the failure.
  std::filesystem::path path;
  std::uint64_t case_index = 0;
  bool shrunk = false;
  /// Seen again on a fresh VM, on the engine where it was found.
  bool confirmed = false;
  /// Programs in the saved sequence; 1 for a single program.
  std::size_t sequence = 1;
  /// How often the run met it.
  std::uint64_t times = 1;
};

struct EngineTally {
  std::string name;
  std::uint64_t commands = 0;
  std::uint64_t cases = 0;
  /// Reason → cases.
  std::map<std::string, std::uint64_t> skipped;
  /// Path → times taken.
  std::map<std::string, std::uint64_t> reached;
  /// Looseness → times needed.
  std::map<std::string, std::uint64_t> loosenesses;
  /// Paths of reach_names() that it never took.
  std::vector<std::string> never_reached;
  std::vector<std::pair<std::string, std::string>> provenance;
  std::vector<std::string> deviations;
};

/// Whether a seeded lie was found, and how soon.
struct Canary {
  bool asked = false;
  bool found = false;
  std::uint64_t cases = 0;
  std::string why;  ///< of a canary that was not found
};

struct CampaignOptions {
  /// Names as on the command line; see unknown_engine().
  std::vector<std::string> engines = {"spec", "impl"};
  std::chrono::milliseconds budget{60'000};  ///< of the cases; shrinking comes after
  std::uint64_t seed = 1;
  Cases cases_of = Cases::any;
  unsigned jobs = 1;
  std::filesystem::path failures = "failures";
  std::chrono::milliseconds shrink_budget{10'000};  ///< of each finding
  std::chrono::milliseconds case_deadline{5'000};
  std::uint64_t max_cases = 0;   ///< 0: as many as the budget allows
  std::size_t max_findings = 8;  ///< distinct; then the cases stop
  bool canary = true;
  /// Which generated programs to run; all if empty. Called in the workers: what it
  /// says must depend on the program and what it was made with alone.
  std::function<bool(const Program&)> wanted;
  /// Some times a second, from the calling thread. May be empty.
  std::function<void(const Progress&)> progress;
  /// At once when a finding has been saved, unshrunk, and again when it has
  /// been shrunk. May be empty.
  std::function<void(const CampaignFinding&)> found;
  /// Set (by a signal handler) to stop early: what was found stays. Not owned.
  const std::atomic<bool>* stop = nullptr;
  /// Of the tests; the real ones by default.
  EngineFactory factory;
  ModelFactory models;
};

struct CampaignResult {
  Verdict verdict = Verdict::no_verdict;
  /// Why, in one line; also for a pass (its bounds).
  std::string reason;
  /// The engine that ended the cases: by an error of its own, or by a crash when it opened.
  /// Empty if none did, or the machine may have.
  std::string gave_up;
  double seconds = 0;
  double case_seconds = 0;  ///< without canary and shrinking
  std::uint64_t seed = 0;
  bool interrupted = false;
  std::uint64_t cases = 0;
  /// Cases::every_allocation: programs of which every allocation failed once.
  std::uint64_t programs = 0;
  std::uint64_t discards = 0;   ///< validate() failed, or no engine could run it
  std::uint64_t undecided = 0;  ///< the model passed a bound
  std::string first_discard;    ///< an example of why
  std::string first_undecided;
  Canary canary;
  std::vector<EngineTally> engines;
  std::vector<CampaignFinding> findings;
};

/// Run. Never throws; blocks until the budget is spent or `stop` is set.
CampaignResult run_campaign(const CampaignOptions& options);

/// The paths that every report accounts for.
const std::vector<std::string_view>& reach_names();

}  // namespace lockstep::props
