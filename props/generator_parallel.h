// SPDX-License-Identifier: GPL-2.0-or-later
/// Programs at random that have parallel blocks: vCPUs and user space at once, on few
/// pages, so that they meet; and what shows afterwards who came first.
#pragma once

#include <cstdint>

#include "props/generator.h"
#include "spec/program.h"

namespace lockstep::props {

/// Case `index` of a run with this seed. Every program has a block or more; it stores
/// each value once, so that a load tells which store it saw.
Program generate_parallel(const GeneratorOptions& options, std::uint64_t seed, std::uint64_t index);

}  // namespace lockstep::props
