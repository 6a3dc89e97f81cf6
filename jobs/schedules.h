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
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "props/schedule/search.h"
#include "props/verdict.h"

namespace lockstep::jobs {

struct ScheduleFinding {
  props::schedule::Found found;
  std::filesystem::path path;  ///< where it was saved; empty if it could not be
};

/// One system after its search.
struct ScheduledSystem {
  const props::schedule::System* system = nullptr;
  props::schedule::Tally tally;
  std::vector<ScheduleFinding> findings;
  /// Every program and schedule of the bound was run; only with `exhaustive`.
  bool complete = false;
};

struct SchedulesOptions {
  std::chrono::milliseconds budget{60'000};  ///< CPU time, of all systems together
  std::uint64_t seed = 1;
  /// Instead of random programs, every program of two threads and two commands
  /// each, with every schedule of at most three preemptions.
  bool exhaustive = false;
  std::filesystem::path failures = "failures";
  /// Those to run; all that need no engine if empty. They outlive the report.
  std::span<const props::schedule::System> systems = {};
  /// Now and then: what a fresh process shows otherwise (SearchLimits::audit); may be empty.
  std::function<std::optional<std::string>(const props::schedule::System&,
                                           const props::schedule::Threads&,
                                           const props::schedule::Outcome&)>
      audit = {};
  const std::atomic<bool>* stop = nullptr;         ///< not owned; may be null
  std::function<void(std::string_view)> progress;  ///< one line; may be empty
};

struct SchedulesReport {
  std::vector<ScheduledSystem> systems;
  props::Verdict verdict = props::Verdict::pass;
  std::string reason;
  double seconds = 0;
};

/// Search every system, without a defect. One finding ends the search of its
/// system.
SchedulesReport run_schedules(const SchedulesOptions& options);
std::string text_report(const SchedulesReport& report);
/// `engines` and `findings` as of every verb.
nlohmann::json json_report(const SchedulesReport& report);

struct ScheduledDefect {
  const props::schedule::System* system = nullptr;
  unsigned defect = 0;
};

/// All of them, or those of these names; else what is wrong with a name.
tl::expected<std::vector<ScheduledDefect>, std::string> choose_defects(
    const std::vector<std::string>& names);

struct ScheduledMutant {
  ScheduledDefect which;
  bool detected = false;
  props::schedule::Found found;  ///< if detected, as small as it became
  double cpu_seconds = 0;        ///< to detection
  std::uint64_t schedules = 0;   ///< to detection
  /// Of 100 runs of the saved text, how many failed in the same way.
  unsigned replays = 0;
  std::filesystem::path path;
};

struct ScheduledMutantsOptions {
  std::vector<ScheduledDefect> defects;
  std::chrono::milliseconds budget{20'000};  ///< CPU time of each
  std::uint64_t seed = 1;
  std::filesystem::path failures = "failures";
  const std::atomic<bool>* stop = nullptr;
  std::function<void(const ScheduledMutant&)> done;  ///< may be empty
};

struct ScheduledMutantsReport {
  std::vector<ScheduledMutant> rows;
  props::Verdict verdict = props::Verdict::pass;
  std::string reason;
  double seconds = 0;
};

/// Find each, make it small, run its text again 100 times.
ScheduledMutantsReport run_schedule_mutants(const ScheduledMutantsOptions& options);
std::string text_report(const ScheduledMutantsReport& report);
nlohmann::json json_rows(const ScheduledMutantsReport& report);

/// The failure of a saved schedule as a page: what runs, what happened in
/// columns, what is wrong.
std::string page_of(const props::schedule::Saved& saved, const props::schedule::Replayed& replayed);

}  // namespace lockstep::jobs
