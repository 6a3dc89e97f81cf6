// SPDX-License-Identifier: GPL-2.0-or-later
/// What a reader sees in a diff without running it: locks, flushes, constants, and
/// a few patterns that have been wrong before. Modest: text, not a compiler.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "jobs/review/workbench.h"

namespace lockstep::jobs::review {

struct Fact {
  Place place;
  std::string text;
  bool suspect = false;  ///< a pattern that has been a defect; else only worth knowing
  bool operator==(const Fact&) const = default;
};

/// The text of a file of the patched tree; empty if there is none.
using ReadFile = std::function<std::string(const std::string& file)>;

/// Facts of a diff with the tree's own line numbers, suspects first. `read` gives
/// the patched files, to see what surrounds the changed lines.
std::vector<Fact> facts_of(const std::string& diff, const ReadFile& read);

/// Functions that the hunks of a diff stand in, by the heading of each hunk and by
/// the definitions among the changed lines.
std::vector<std::string> functions_of(const std::string& diff);

}  // namespace lockstep::jobs::review
