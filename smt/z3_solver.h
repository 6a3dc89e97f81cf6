// SPDX-License-Identifier: GPL-2.0-or-later
/// Terms in Z3. The one file behind this header that knows the solver.
#pragma once

#include <string>
#include <vector>

#include "smt/solver.h"
#include "smt/term.h"

namespace lockstep::smt {

/// Ask Z3 in this process, and give the answer as text: a line `sat`, `unsat`,
/// `memory` or `failed`, then the model, a line a variable, or a line
/// with the reason. To be called in a process of its own: Z3's limit of memory
/// holds for the whole of it, and every query is one of a context of its own. Nothing here looks at
/// the limit of time.
std::string ask_z3(const std::vector<Bool>& terms, const Limits& limits);

}  // namespace lockstep::smt
