// SPDX-License-Identifier: GPL-2.0-or-later
/// Runs of the protocol of memslot generations as programs of the system of that name,
/// whose generation has two bits in place of 19.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "props/schedule/stages.h"
#include "props/schedule/system.h"
#include "smt/protocol.h"

namespace lockstep::jobs {

/// Threads, and how far each goes in turn.
struct StagedProgram {
  props::schedule::Threads threads;
  std::vector<props::schedule::Stage> stages;
};

/// Thread 0 changes slots, each other one accesses the gfn, one more at the end: the
/// property speaks of what an access would use. A generation whose bits are all 0 or
/// all 1 keeps them. `zaps_last`: a wrap's zap comes behind the generation. The error is
/// one line.
tl::expected<StagedProgram, std::string> memslot_program(const props::schedule::System& system,
                                                         const smt::Assignment& start,
                                                         const std::vector<smt::TakenStep>& steps,
                                                         bool zaps_last);

}  // namespace lockstep::jobs
