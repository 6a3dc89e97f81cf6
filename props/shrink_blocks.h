// SPDX-License-Identifier: GPL-2.0-or-later
/// Parallel blocks of programs that lose steps.
#pragma once

#include <vector>

#include "spec/program.h"

namespace lockstep::props {

/// Make blocks whole again after steps went: their threads count from 0, and a block
/// with one thread is none.
void mend_blocks(Program& program);

/// Programs with less beside each other: a block made a sequence, the first command of
/// a thread in front of its block, the last one behind it.
std::vector<Program> less_parallel(const Program& program);

/// The program with another schedule in each of its blocks; the same if it has none.
Program with_schedule(Program program, std::uint64_t schedule);

}  // namespace lockstep::props
