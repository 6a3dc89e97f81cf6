// SPDX-License-Identifier: GPL-2.0-or-later
/// Shorthand for transition systems: state variables as terms, small program
/// counters as integers.
#pragma once

#include <string>

#include "smt/theorem.h"

namespace lockstep::smt {

/// Declare a state variable and give its term.
inline Bool state_bool(Protocol& protocol, const std::string& name) {
  protocol.state.emplace_back(name, Sort::boolean);
  return Bool::variable(name);
}
inline Int state_int(Protocol& protocol, const std::string& name) {
  protocol.state.emplace_back(name, Sort::integer);
  return Int::variable(name);
}
inline Word state_word(Protocol& protocol, const std::string& name) {
  protocol.state.emplace_back(name, Sort::word);
  return Word::variable(name);
}

/// Add a transition and give it, to be filled with set().
inline Transition& step(Protocol& protocol, std::string name, const Bool& guard) {
  protocol.transitions.push_back({std::move(name), guard, {}});
  return protocol.transitions.back();
}

}  // namespace lockstep::smt
