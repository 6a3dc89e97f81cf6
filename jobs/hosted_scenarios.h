// SPDX-License-Identifier: GPL-2.0-or-later
/// What hosted kernels run on several CPUs: virtual machines, and commands that meet.
#pragma once

#include <span>
#include <string_view>

#include "props/schedule/system.h"

namespace lockstep::jobs {

/// How a command of a system is one of a program: "{v}" is the vCPU of the thread, "{n}" the
/// command's number in hexadecimal. "grace" alone is the end of a grace period.
struct HostedCommand {
  props::schedule::Verb verb;
  std::string_view line;
};

struct HostedScenario {
  std::string_view name;
  std::string_view title;
  std::string_view property;
  /// A program without its first line: what has happened before the threads begin.
  std::string_view program;
  std::span<const HostedCommand> commands;
};

std::span<const HostedScenario> hosted_scenarios();

}  // namespace lockstep::jobs
