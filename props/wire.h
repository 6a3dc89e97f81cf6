// SPDX-License-Identifier: GPL-2.0-or-later
/// Outcomes, findings and platforms as JSON, for the socket between a child
/// and its parent. Both are the same binary: no versions, no defaults.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "props/finding.h"
#include "props/lockstep.h"
#include "spec/engine.h"

namespace lockstep::props {

nlohmann::json to_wire(const Observation& observation);
Observation observation_from(const nlohmann::json& wire);

nlohmann::json to_wire(const Finding& finding);
Finding finding_from(const nlohmann::json& wire);

nlohmann::json to_wire(const Platform& platform);
Platform platform_from(const nlohmann::json& wire);

nlohmann::json to_wire(const Outcome& outcome);
Outcome outcome_from(const nlohmann::json& wire);
/// Of a child that runs code which nobody read: none if the text is no outcome.
std::optional<Outcome> read_outcome(const std::string& text);

/// Text of a message; invalid UTF-8 is replaced.
std::string text_of(const nlohmann::json& wire);

}  // namespace lockstep::props
