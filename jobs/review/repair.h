// SPDX-License-Identifier: GPL-2.0-or-later
/// A diff whose blanks were lost on the way (archives, quoting, mail programs),
/// made whole again by the tree for which it was written.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::jobs::review {

struct Repair {
  std::string diff;  ///< the hunks that were placed; empty if none was
  std::size_t hunks = 0;
  std::size_t placed = 0;
  std::vector<std::string> notes;     ///< "FILE:LINE: hunk 2 placed with offset 3"
  std::vector<std::string> failures;  ///< "line 12: hunk 3 of FILE ...", a hunk each
};

/// Place each hunk where the tree's lines are those that it wants when no blank is
/// compared. Kept and removed lines become the tree's own; added lines keep the
/// indentation that they have, or get a guessed one. `lines` as take_diff() wants
/// them.
Repair repair(const std::vector<std::string>& lines, const std::filesystem::path& tree);

}  // namespace lockstep::jobs::review
