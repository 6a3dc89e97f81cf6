// SPDX-License-Identifier: GPL-2.0-or-later
/// CPUs of one image under schedules until one fails, in a process of its own: the image may
/// take that down.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "jobs/open_systems.h"
#include "jobs/schedule_child.h"

namespace lockstep::jobs {

struct ScheduleHuntOptions {
  OpenSystems open;
  double seconds = 20;         ///< CPU time of each system
  double shrink_seconds = 15;  ///< CPU time to make a failure smaller
  std::uint64_t seed = 1;
  std::chrono::milliseconds patience = schedule_patience;  ///< see ScheduleWatch
  const std::atomic<bool>* stop = nullptr;                 ///< not owned; ends it as an error
};

struct ScheduleHunt {
  enum class End : std::uint8_t {
    nothing,    ///< all of the time was spent
    found,      ///< a failure, a crash or a hang, and again from its text
    not_again,  ///< one that its text does not show
    error       ///< nothing that a schedule has done; `title` says what
  };
  End end = End::error;
  std::string kind;            ///< of the failure; "crash" or "hang" of what did not come back
  std::string title;           ///< its text
  std::string saved;           ///< the schedule, as small as it became
  std::uint64_t commands = 0;  ///< of its threads together
  std::uint64_t schedules = 0;
  double cpu_seconds = 0;    ///< to the failure, else in all
  double limit_seconds = 0;  ///< that it might use; 0 if nothing was opened
};

/// Every system in turns, until a failure is found.
ScheduleHunt hunt_schedules(const ScheduleHuntOptions& options);

}  // namespace lockstep::jobs
