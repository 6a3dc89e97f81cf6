// SPDX-License-Identifier: GPL-2.0-or-later
/// Shorter setup: the entries that lead to one page, folded into `map`.
#pragma once

#include <vector>

#include "spec/program.h"

namespace lockstep::props {

/// The program with one `map` in place of the host entries of one path, tables
/// renamed to where `map` allocates them. Every one has fewer entry commands.
/// Upper entries get the rights that `map` gives, so a fold may not fail any
/// more: a candidate like every other.
std::vector<Program> folded_programs(const Program& program);

}  // namespace lockstep::props
