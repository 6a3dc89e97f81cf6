// SPDX-License-Identifier: GPL-2.0-or-later
/// Engines by their command-line names.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spec/engine.h"

namespace lockstep::props {

/// Makes an engine by name; an EngineError says why this machine cannot.
/// `seed` is for engines that draw (spec).
using EngineFactory =
    std::function<Result<std::unique_ptr<Engine>>(std::string_view name, std::uint64_t seed)>;

/// "impl", "kvm", "spec"; hosted engines have names without end
/// (hw/hosted/open.h).
const std::vector<std::string_view>& engine_names();

/// None if the name is valid; otherwise "unknown engine 'kmv'; valid: ...; did
/// you mean 'kvm'?". An input error, not a verdict about the engine.
std::optional<std::string> unknown_engine(std::string_view name);

/// The real engines.
Result<std::unique_ptr<Engine>> make_engine(std::string_view name, std::uint64_t seed);

/// Why an engine could not be prepared.
struct PrepareError {
  std::string message;
  bool input = false;  ///< what was asked for is wrong; else the machine lacks something
};

/// Do what takes long before an engine can be made, such as compiling a hosted
/// kernel; `progress` gets lines. Processes forked later need not do it again.
tl::expected<void, PrepareError> prepare_engine(
    std::string_view name, const std::function<void(std::string_view)>& progress);

/// Names in the order in which shrinking tries them, the fastest first.
std::vector<std::string> fastest_first(std::vector<std::string> names);

}  // namespace lockstep::props
