// SPDX-License-Identifier: GPL-2.0-or-later
/// Systems of threads that are wrong on purpose, found under controlled schedules.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "props/schedule/search.h"
#include "props/verdict.h"

namespace lockstep::jobs {

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

}  // namespace lockstep::jobs
