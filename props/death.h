// SPDX-License-Identifier: GPL-2.0-or-later
/// The finding that a dead or silent process leaves behind.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "props/finding.h"
#include "props/lockstep.h"
#include "spec/program.h"

namespace lockstep::props {

/// `kind` is crash or hang. `how` tells the signal, or the deadline; `words` is
/// what the process wrote last.
Finding death(FindingKind kind, const Position& position, std::span<const std::string> engines,
              const Program& program, std::string_view how, std::string words);

/// Whether both tell of the same failure; the engine apart if `any_engine`.
bool same_failure(const Finding& one, const Finding& other, bool any_engine);

}  // namespace lockstep::props
