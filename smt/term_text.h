// SPDX-License-Identifier: GPL-2.0-or-later
/// Terms as text for another process of ours, node by node as they are: nothing is
/// simplified on the way, and what two terms share they share there, too.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "smt/term.h"

namespace lockstep::smt {

/// A line a node, its children before it, then a line with the terms' numbers. Names of
/// variables have no white space.
std::string write_terms(const std::vector<Bool>& terms);

/// Nothing if the text is not of write_terms().
std::optional<std::vector<Bool>> read_terms(std::string_view text);

}  // namespace lockstep::smt
