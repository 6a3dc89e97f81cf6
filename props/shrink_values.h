// SPDX-License-Identifier: GPL-2.0-or-later
/// What counts as simpler: of one command, and of a configuration.
#pragma once

#include <vector>

#include "spec/program.h"

namespace lockstep::props {

/// Commands that say the same kind of thing with less. Every one is strictly
/// simpler, so that repetition ends.
std::vector<Command> simpler_commands(const Command& command, const Configuration& configuration);

/// The program under simpler configurations, its commands adapted.
std::vector<Program> simpler_programs(const Program& program);

}  // namespace lockstep::props
