// SPDX-License-Identifier: GPL-2.0-or-later
/// From "this engine is odd here" to a finding that a person can read.
#pragma once

#include <cstddef>
#include <span>

#include "props/finding.h"
#include "props/participant.h"
#include "spec/program.h"

namespace lockstep::props {

/// `step` counts lowered steps; equal to their number for teardown. Runs the
/// odd engine's model again from the start, to ask it before the step.
Finding diagnose(FindingKind kind, std::size_t odd, std::span<const Participant> participants,
                 const Lowered& lowered, std::size_t step, const ModelFactory& models);

}  // namespace lockstep::props
