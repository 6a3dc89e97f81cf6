// SPDX-License-Identifier: GPL-2.0-or-later
/// Why a hunk does not apply, in terms of the tree.
#pragma once

#include <string>
#include <string_view>

#include "hw/kernels/patch_text.h"

namespace lockstep::hw::kernels {

/// Where in `file` (the whole text of the tree's file `name`) most lines of the
/// hunk's context stand, and the first of them that differs: one to three lines of
/// text, each with the tree's own file:line.
std::string explain_failed_hunk(const Hunk& hunk, std::string_view name, std::string_view file);

}  // namespace lockstep::hw::kernels
