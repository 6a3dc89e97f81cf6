// SPDX-License-Identifier: GPL-2.0-or-later
/// Systems of threads under controlled schedules: what is right searched for
/// failures, and what is wrong on purpose found.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "jobs/open_systems.h"
#include "jobs/schedule_child.h"
#include "props/schedule/search.h"
#include "props/verdict.h"

namespace lockstep::jobs {

struct ScheduleFinding {
  std::string kind;   ///< of props::schedule::FailureKind
  std::string title;  ///< one line
  std::string saved;  ///< as text, without comments
  std::string page;   ///< what happened, in columns if it came back
  bool unsteady = false;
  std::filesystem::path path = {};  ///< where it was saved; empty if it could not be
};

/// One system after its search.
struct ScheduledSystem {
  std::string name;
  std::string property;
  props::schedule::Tally tally;
  std::vector<ScheduleFinding> findings;
  /// Every program and schedule of the bound was run, or as many schedules as were asked
  /// for; without either, false.
  bool complete = false;
  /// Why the search has no verdict; empty if it came to its end, or to a finding.
  std::string broken;
};

struct SchedulesOptions {
  std::chrono::milliseconds budget{60'000};  ///< CPU time, of all systems together
  /// Of each system, within the budget, or there is no verdict; 0: as many as it allows.
  std::uint64_t schedules = 0;
  std::uint64_t seed = 1;
  /// Instead of random programs, every program of two threads and two commands
  /// each, with every schedule of at most three preemptions.
  bool exhaustive = false;
  std::filesystem::path failures = "failures";
  /// Those to run; all that need no engine if empty.
  std::vector<std::string> systems = {};
  /// How they are opened, in a process of its own for each; those that need no engine if
  /// empty.
  OpenSystems open = {};
  std::chrono::milliseconds patience = schedule_patience;  ///< see ScheduleWatch
  const std::atomic<bool>* stop = nullptr;                 ///< not owned; may be null
  std::function<void(std::string_view)> progress;          ///< one line; may be empty
};

struct SchedulesReport {
  std::vector<ScheduledSystem> systems;
  props::Verdict verdict = props::Verdict::pass;
  std::string reason;
  double seconds = 0;
};

/// Search every system, without a defect, each in a process of its own. One finding ends
/// the search of its system; it is saved before it is made smaller. A schedule that its
/// process does not outlive, or that does not come back, is a finding.
SchedulesReport run_schedules(const SchedulesOptions& options);
std::string text_report(const SchedulesReport& report);
/// `engines` and `findings` as of every verb.
nlohmann::json json_report(const SchedulesReport& report);

/// What a saved schedule comes to.
struct ReplayedSchedule {
  props::Verdict verdict = props::Verdict::no_verdict;
  std::string reason = {};  ///< one line; empty of a pass
  bool ran = false;         ///< to its end, whether or not every turn came
  std::string system = {};
  std::string kind = {};   ///< of the failure; empty without one
  std::string title = {};  ///< of the failure
  std::string page = {};   ///< what happened
};

/// Run the text once, in a process of its own. An input error if it is no schedule of
/// these systems; a schedule that its process does not outlive fails.
ReplayedSchedule replay_in_child(const std::string& text, const OpenSystems& open,
                                 std::chrono::milliseconds patience = schedule_patience);

/// The models of impl and of KVM's protocols: they need no engine.
OpenSystems open_models();

}  // namespace lockstep::jobs
