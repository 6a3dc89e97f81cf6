// SPDX-License-Identifier: GPL-2.0-or-later
/// Smaller programs: what RapidCheck tries in its order, and the search that
/// keeps what still fails.
#pragma once

#include <rapidcheck.h>
#include <chrono>
#include <cstdint>
#include <functional>

#include "spec/program.h"

namespace lockstep::props {

/// Programs one change smaller, the boldest first: chunks of steps removed,
/// entries folded into `map`, features of the configuration dropped, values simplified. Finite, and
/// every chain of shrinks ends. Some of them do not validate.
rc::Seq<Program> shrinks(const Program& program);

/// The program with its tree of shrinks.
rc::Shrinkable<Program> with_shrinks(Program program);

/// Whether the candidate still shows the failure.
using StillFails = std::function<bool(const Program&)>;

struct Shrunk {
  Program program;
  std::uint64_t tried = 0;  ///< candidates that were run
  bool minimal = false;     ///< no single shrink fails any more; else time ran out
};

/// Greedy search from a program that fails. Candidates that do not validate are
/// not run. `stop` is asked between candidates.
Shrunk shrink(const Program& program, const StillFails& still_fails,
              std::chrono::steady_clock::time_point deadline,
              const std::function<bool()>& stop = {});

}  // namespace lockstep::props
