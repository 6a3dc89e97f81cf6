// SPDX-License-Identifier: GPL-2.0-or-later
/// Words for what a command is and what an observation looks like, without
/// addresses or values: for titles, deduplication and reach.
#pragma once

#include <string>
#include <string_view>

#include "spec/command.h"
#include "spec/observation.h"

namespace lockstep::props {

/// "read", "write", "fetch", "slot", "entry", "guest entry", "cr3" ...
std::string_view command_kind(const Command& command);

/// "a value", "#PF present write user", "an MMIO read", "errno 17" ...
std::string shape(const Observation& observation);

}  // namespace lockstep::props
