// SPDX-License-Identifier: GPL-2.0-or-later
/// Counterexamples of the template machine (smt/refinement) as programs: commands that
/// bring about what the counterexample starts from, then the command that it speaks of,
/// then what shows the damage.
///
/// Slots, gfns, registers, rights, privilege and the kind of access are the
/// counterexample's. Frames of the host, generations, and where tables are that the
/// counterexample does not speak of are those that an engine gives itself.
#pragma once

#include <string>
#include <string_view>

#include "smt/evaluate.h"

namespace lockstep::jobs {

/// Empty where our language has no command that leads there.
std::string refinement_program(std::string_view theorem, const smt::Assignment& found);

/// Name of impl's defect that is the twin's; empty if impl has none.
std::string_view refinement_defect(std::string_view theorem);

}  // namespace lockstep::jobs
