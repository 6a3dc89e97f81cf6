// SPDX-License-Identifier: GPL-2.0-or-later
/// What a schedule comes to in a process that has run nothing before it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "jobs/open_systems.h"
#include "props/child.h"
#include "props/schedule/runner.h"
#include "props/schedule/system.h"

namespace lockstep::jobs {

/// Made before the image is mapped by this process: what it forks has not mapped it.
class FreshProcess {
 public:
  /// Of HostedSystems::open() with the same arguments.
  static tl::expected<FreshProcess, std::string> start(const std::filesystem::path& image,
                                                       const std::string& engine);

  /// Run the order there. What differs, or why that is not known; none if nothing does.
  std::optional<std::string> compare(const props::schedule::System& system,
                                     const props::schedule::Threads& threads,
                                     const props::schedule::Outcome& outcome);

 private:
  explicit FreshProcess(props::Child child) : child_(std::move(child)) {}
  props::Child child_;
};

/// open_hosted(), with an audit by a FreshProcess.
OpenSystems open_audited(const std::filesystem::path& image, const std::string& engine);

}  // namespace lockstep::jobs
