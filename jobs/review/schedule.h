// SPDX-License-Identifier: GPL-2.0-or-later
/// CPUs of the patched kernel under controlled schedules: what programs of one CPU at a
/// time do not show.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "jobs/open_systems.h"
#include "jobs/review/finding.h"

namespace lockstep::jobs::review {

/// What was run.
struct ScheduleReport {
  bool asked = false;
  std::string not_run;      ///< why nothing was; empty if something was
  std::string masked;       ///< what the base shows too, so no finding
  std::string unconfirmed;  ///< what did not come again, so no finding
  std::uint64_t schedules = 0;
  double cpu_seconds = 0;
  double build_seconds = 0;
};

struct ScheduleSearch {
  /// Opens the images, each in a process of its own, under one name of an engine.
  OpenSystems base, patched;
  std::chrono::milliseconds budget{10'000};  ///< CPU time of all systems together
  std::uint64_t seed = 1;
  std::filesystem::path failures = "failures";
  std::string subject;                      ///< of the patch, for the file
  const std::atomic<bool>* stop = nullptr;  ///< not owned; may be null
  std::function<void(std::string_view)> progress;
};

/// Systems whose threads are CPUs of the image, in a process that gave up what a patched
/// kernel must not have before it opens it (confine.h).
OpenSystems open_confined(const std::filesystem::path& image, std::string engine);

/// Search; a failure of the patched kernel that comes again, and that the base shows neither
/// by that schedule nor in as much time, is a finding.
std::optional<ReviewFinding> search_schedules(const ScheduleSearch& search, ScheduleReport& report);

/// The page's lines about it; empty if it was not asked for.
std::string text_of(const ScheduleReport& report);

}  // namespace lockstep::jobs::review
