// SPDX-License-Identifier: GPL-2.0-or-later
/// Terms evaluated without a solver: every counterexample is checked this way
/// before it counts.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "smt/term.h"

namespace lockstep::smt {

/// Values of variables; what is missing is 0. Integers in two's complement.
using Assignment = std::map<std::string, std::uint64_t, std::less<>>;

/// The value of a term under the assignment. Integers that leave 64 bits wrap:
/// a model with such values is refused by read_model().
std::uint64_t evaluate(const NodePtr& node, const Assignment& assignment);

inline bool holds(const Bool& term, const Assignment& assignment) {
  return evaluate(term.node(), assignment) != 0;
}

/// The variables below these terms, by name.
std::map<std::string, Sort> variables(const std::vector<Bool>& terms);

}  // namespace lockstep::smt
