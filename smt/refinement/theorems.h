// SPDX-License-Identifier: GPL-2.0-or-later
/// Refinement, a theorem a command and paging mode: from every state of a template
/// machine that meets the invariants, the implementation's step answers what the
/// model admits and keeps the invariants.
#pragma once

#include <vector>

#include "smt/theorem.h"

namespace lockstep::smt {

/// Bounded by the template (smt/refinement/machine.h), and reported so; no part of
/// theorems().
const std::vector<Theorem>& refinement_theorems();

}  // namespace lockstep::smt
