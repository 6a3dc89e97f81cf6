// SPDX-License-Identifier: GPL-2.0-or-later
/// A parallel block under a controlled schedule: the commands of each thread on a fiber of
/// its own, in the order that a seed draws.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "props/schedule/runner.h"
#include "spec/engine.h"

namespace lockstep::props {

struct BlockRun {
  std::vector<ParallelAnswer> answers;  ///< as Engine::execute_parallel() owes them
  unsigned preemptions = 0;
  /// What the runner saw go wrong; commands that did not end answer Unexpected, and
  /// the last one of a thread that ended with what it must not keep.
  std::optional<std::string> failure;
};

/// Run the block. `execute` is called on the fiber of the command's thread, whose number is
/// runner.self(). The schedule is that of the first command. An error is the engine's,
/// of a run in which nothing else went wrong.
Result<BlockRun> run_block(schedule::Runner& runner, std::span<const ParallelCommand> commands,
                           std::function<Result<Observation>(const Command&)> execute);

}  // namespace lockstep::props
