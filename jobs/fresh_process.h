// SPDX-License-Identifier: GPL-2.0-or-later
/// What a schedule comes to in a process that has run nothing before it.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "jobs/open_systems.h"
#include "props/child.h"
#include "props/schedule/runner.h"
#include "props/schedule/system.h"

namespace lockstep::jobs {

/// Far more than one run takes on a busy machine.
inline constexpr std::chrono::seconds fresh_process_patience{60};

/// Made before this process opens the systems: what it forks has not opened them.
class FreshProcess {
 public:
  /// `patience` is how long a run may take, by the clock.
  static tl::expected<FreshProcess, std::string> start(
      OpenSystems open, std::chrono::milliseconds patience = fresh_process_patience);

  /// Run the order there, and compare what it does and how it ends, teardown included. A
  /// process that does not answer in time, or that somebody ended, says nothing.
  props::schedule::Audit compare(const props::schedule::System& system,
                                 const props::schedule::Threads& threads,
                                 const props::schedule::Outcome& outcome);

 private:
  FreshProcess(props::Child child, std::chrono::milliseconds patience)
      : child_(std::move(child)), patience_(patience) {}
  props::Child child_;
  std::chrono::milliseconds patience_;
};

/// open_hosted(), with an audit by a FreshProcess.
OpenSystems open_audited(const std::filesystem::path& image, const std::string& engine);

}  // namespace lockstep::jobs
