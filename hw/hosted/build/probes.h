// SPDX-License-Identifier: GPL-2.0-or-later
/// What the shim must know of a tree, found by looking into it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"

namespace lockstep::hw::hosted {

/// Definitions ("-DHOSTED_...") for a tree, by a list of lines `macro file text`:
/// the macro is defined if the file contains the text. '#' starts a comment line.
/// An input error names a line without three parts.
kernels::Result<std::vector<std::string>> probe_tree(std::string_view list,
                                                     const std::filesystem::path& tree);

}  // namespace lockstep::hw::hosted
