// SPDX-License-Identifier: GPL-2.0-or-later
/// Engines of a run, opened by name.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "props/engine_factory.h"

namespace lockstep::props {

/// All of them, or the reason why the first one that cannot, cannot: "kvm: ...".
Result<std::vector<std::unique_ptr<Engine>>> open_engines(std::span<const std::string> names,
                                                          const EngineFactory& factory,
                                                          std::uint64_t seed);

}  // namespace lockstep::props
