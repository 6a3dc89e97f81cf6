// SPDX-License-Identifier: GPL-2.0-or-later
/// Two versions of a file, as a unified diff.
#pragma once

#include <filesystem>
#include <string>

#include "hw/kernels/error.h"

namespace lockstep::hw::kernels {

/// The diff that makes `after` of `before`, level -p1, for the file `name` of a tree;
/// a file that does not exist counts as empty. Empty if both are equal.
Result<std::string> difference(const std::filesystem::path& before,
                               const std::filesystem::path& after, const std::string& name);

}  // namespace lockstep::hw::kernels
