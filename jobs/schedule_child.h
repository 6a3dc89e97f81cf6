// SPDX-License-Identifier: GPL-2.0-or-later
/// A process that runs schedules, and the one that watches it: a crash or a hang is told
/// with the schedule that caused it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "jobs/open_systems.h"
#include "props/schedule/runner.h"
#include "props/schedule/witness.h"

namespace lockstep::jobs {

/// CPU time that one schedule may take: a thousand times what any needs.
inline constexpr std::chrono::milliseconds schedule_patience{20'000};

/// What is told before the answer.
using Say = std::function<void(const nlohmann::json&)>;

/// Runs in the child; what it returns is the answer.
using ScheduleBody = std::function<nlohmann::json(props::schedule::Runner& runner, const Say& say)>;

struct ScheduleWatch {
  /// CPU time of one schedule, or time asleep in it; then it does not come back.
  std::chrono::milliseconds patience = schedule_patience;
  std::function<void(const nlohmann::json&)> heard = {};  ///< may be empty
  /// Some times a second; true: end the process. May be empty.
  std::function<bool(const props::schedule::Witness&)> tick = {};
};

/// How a process came to its end.
struct ScheduleEnd {
  enum class Kind : std::uint8_t {
    answered,
    crashed,  ///< a schedule took it down
    hung,     ///< a schedule did not come back
    ended,    ///< by ScheduleWatch::tick
    lost      ///< nothing that a schedule has done: no process, no memory, a busy machine
  };
  Kind kind = Kind::lost;
  nlohmann::json answer;
  std::string how;         ///< "signal 11 (Segmentation fault)", or why it was lost; one line
  std::string words;       ///< what it wrote last
  double cpu_seconds = 0;  ///< as far as seen

  /// Crashed or hung.
  bool died() const { return kind == Kind::crashed || kind == Kind::hung; }
};

/// Run it in a child whose runner writes down each schedule in `witness`, which is shared
/// memory.
ScheduleEnd run_in_child(props::schedule::Witness& witness, const ScheduleBody& body,
                         const ScheduleWatch& watch = {});

/// A schedule that its process did not outlive.
struct DeadlySchedule {
  std::string kind;   ///< "crash" or "hang"
  std::string title;  ///< "crashed under this schedule: signal 11 (...)"
  std::string saved;  ///< as print(Saved), with what it ends with
  /// The same order, in another process, ended otherwise, or could not be run.
  bool unsteady = false;
};

/// Run the order of `witness` again, in another process, for the names of its steps.
DeadlySchedule pin_down(const ScheduleEnd& end, const props::schedule::Witness& witness,
                        const OpenSystems& open, std::chrono::milliseconds patience);

/// "crashed under this schedule: ...", of one that died.
std::string deadly_title(const ScheduleEnd& end);
/// "crash" or "hang", of one that died.
std::string_view deadly_kind(const ScheduleEnd& end);

}  // namespace lockstep::jobs
