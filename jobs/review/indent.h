// SPDX-License-Identifier: GPL-2.0-or-later
/// How far a line of C that lost its indentation is indented, by what stands
/// before it. A guess, for people to read: no compiler minds.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::jobs::review {

/// Tabs (and the blank before the star of a comment) to put before `text`, which
/// follows after `before`; the lines of `before` have theirs.
std::string guess_indent(const std::vector<std::string>& before, std::string_view text);

}  // namespace lockstep::jobs::review
