// SPDX-License-Identifier: GPL-2.0-or-later
/// Observations as text: what stands behind the arrow.
#pragma once

#include "spec/command.h"
#include "spec/observation.h"
#include "spec/text_cursor.h"

namespace lockstep::spec::text {

/// `command` supplies the address of a #PF that names none: the gva of an
/// Access.
bool parse_observation(Cursor& cursor, const Command& command, Observation& observation);

}  // namespace lockstep::spec::text
