// SPDX-License-Identifier: GPL-2.0-or-later
/// What a command on the template machine comes to.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lockstep::smt::refinement {

/// A command: what it needs, what it does, what it must answer.
template <typename P>
struct Outcome {
  typename P::Bool fits = true;   ///< the command can be given here
  typename P::Bool claim = true;  ///< its answer is one that the model admits
  std::vector<std::pair<std::string, typename P::Bool>> events;  ///< see AccessStep
};

}  // namespace lockstep::smt::refinement
