// SPDX-License-Identifier: GPL-2.0-or-later
/// A transition system unrolled into terms.
#pragma once

#include <string>
#include <vector>

#include "smt/theorem.h"

namespace lockstep::smt {

/// Why the protocol is none: a state variable declared twice, or a transition that
/// changes what is no state variable, one of them twice, or to another sort. Empty
/// if it is well-formed. An update that is overlooked would make a step stand still.
std::string malformed(const Protocol& protocol);

/// The term with every state variable renamed for one moment of a run.
Bool at_moment(const Protocol& protocol, const Bool& term, unsigned moment);

/// Some transition leads from one moment to the next, or none is taken.
Bool step_between(const Protocol& protocol, unsigned moment);

/// A run from the start that breaks the property within `steps` steps: what a
/// bounded search asks for.
std::vector<Bool> violating_run(const Protocol& protocol, unsigned steps);

/// The three obligations of an invariant, each to be unsatisfiable: broken at
/// the start; broken by a step; kept while the property is not.
std::vector<Bool> broken_at_start(const Protocol& protocol);
std::vector<Bool> broken_by_step(const Protocol& protocol);
std::vector<Bool> broken_property(const Protocol& protocol);

/// Every transition can be taken from some state that meets the invariant, each from
/// one of its own: to be satisfiable, or what is proved of that transition is empty.
std::vector<Bool> each_can_be_taken(const Protocol& protocol);
/// The same of one transition.
std::vector<Bool> can_be_taken(const Protocol& protocol, const Transition& transition);

/// Whether the run is one, and breaks the property, found by taking its choices
/// step by step from the values that it begins with: each guard is asked and each
/// update computed on numbers, without the solver.
bool executes(const Protocol& protocol, const Assignment& run, unsigned steps);

/// A transition that a run took, and the state behind it.
struct TakenStep {
  std::string transition;
  Assignment state;
};
/// The state at the start of a run.
Assignment state_at_start(const Protocol& protocol, const Assignment& run);
/// What a run did up to the violation, in its order.
std::vector<TakenStep> taken_steps(const Protocol& protocol, const Assignment& run, unsigned steps);

/// A run as lines: one a step, with what it changed, up to the violation.
std::vector<std::string> tell_run(const Protocol& protocol, const Assignment& run, unsigned steps);

}  // namespace lockstep::smt
