// SPDX-License-Identifier: GPL-2.0-or-later
/// "Did you mean": the valid word nearest to a wrong one.
#pragma once

#include <span>
#include <string_view>

namespace lockstep::spec::text {

/// Number of insertions, deletions, replacements and swaps of neighbours that
/// turn `a` into `b`. Only the first 32 bytes of each word take part.
unsigned edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word`, the first of equals; empty if none is near
/// enough to be meant (a third of the longer word, at least one edit).
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace lockstep::spec::text
