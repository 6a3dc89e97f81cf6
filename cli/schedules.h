// SPDX-License-Identifier: GPL-2.0-or-later
/// Controlled schedules on the command line: properties of `run`, mutants, and
/// files to replay.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "cli/json_output.h"

namespace lockstep::cli {

/// What --engines means to schedules: the hosted engine whose CPUs run; empty for models.
/// The error says what is unknown or does not apply.
tl::expected<std::string, std::string> engine_of_schedules(const std::vector<std::string>& engines);

struct SchedulesRun {
  bool exhaustive = false;
  std::chrono::milliseconds budget{60'000};
  std::uint64_t schedules = 0;  ///< of each system; 0: as many as the budget allows
  std::uint64_t seed = 1;
  std::string failures = {};
  /// "hosted:6.1": CPUs of that kernel instead of models; empty: models.
  std::string engine = {};
};
/// `run --property schedules` and `schedules-exhaustive`; the exit code.
int run_schedules(const SchedulesRun& run, const JsonOutput& json);

struct ScheduleMutantsRun {
  std::vector<std::string> names = {};
  std::chrono::milliseconds budget{20'000};
  std::uint64_t seed = 1;
  std::string failures = {};
  bool list = false;
};
/// `mutants --schedules`; the exit code.
int run_schedule_mutants(const ScheduleMutantsRun& run, const JsonOutput& json);

/// Whether the text is a schedule rather than a program: what its first line
/// that is no comment says.
bool is_schedule(const std::string& text);
/// `replay` of such a file; the exit code. FAIL if it ends with a failure.
/// A schedule that takes its process down, or uses more CPU time than `deadline`, fails.
int replay_schedule(const std::string& path, const std::string& text,
                    std::chrono::milliseconds deadline, const JsonOutput& json);

}  // namespace lockstep::cli
