// SPDX-License-Identifier: GPL-2.0-or-later
/// lower() for callers that want to know which command cannot be lowered.
#pragma once

#include <tl/expected.hpp>

#include "spec/program.h"

namespace lockstep::spec {

/// As lockstep::lower(); the error names the step.
tl::expected<Lowered, Illegal> lower_or_blame(const Program& program);

}  // namespace lockstep::spec
