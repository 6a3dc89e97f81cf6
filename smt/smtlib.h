// SPDX-License-Identifier: GPL-2.0-or-later
/// Terms as SMT-LIB 2.6 text, printed without any solver, so that a second one
/// judges what was asked and not what the first one understood.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "smt/term.h"

namespace lockstep::smt {

/// A script that asserts the terms and asks for satisfiability. `status` is what
/// is expected, "sat" or "unsat"; each line of `comment` becomes a comment.
std::string smtlib(const std::vector<Bool>& terms, std::string_view status,
                   std::string_view comment);

}  // namespace lockstep::smt
