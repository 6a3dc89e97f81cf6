// SPDX-License-Identifier: GPL-2.0-or-later
/// CPUs of one image under schedules, in a process of its own: the image may take that
/// down.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace lockstep::jobs {

struct ScheduleHuntOptions {
  std::filesystem::path image;
  std::string engine;   ///< its name in the saved text, "hosted:6.1"
  double seconds = 20;  ///< CPU time of each system
  std::uint64_t seed = 1;
};

struct ScheduleHunt {
  bool found = false;
  std::string kind;            ///< of the failure
  std::string title;           ///< its text
  std::string saved;           ///< the schedule, as small as it became
  std::uint64_t commands = 0;  ///< of its threads together
  std::uint64_t schedules = 0;
  double cpu_seconds = 0;  ///< to the failure, else in all
  std::string broken;      ///< why it ended otherwise; empty if it did not
};

/// Every system in turns, until a failure is found, and found again from its text.
ScheduleHunt hunt_schedules(const ScheduleHuntOptions& options);

/// What the saved schedule ends with on the image: the failure's text; empty if it passes;
/// "broken: ..." if it could not be run.
std::string replay_schedule_on(const std::filesystem::path& image, const std::string& engine,
                               const std::string& saved);

}  // namespace lockstep::jobs
