// SPDX-License-Identifier: GPL-2.0-or-later
/// What a compiler said, by place, and which of it a patch is to blame for.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/changed_lines.h"

namespace lockstep::jobs::review {

struct Diagnostic {
  std::string file;  ///< relative to the tree, or a full path outside
  unsigned line = 0;
  bool error = false;
  std::string text;       ///< in one line, without the place
  bool at_patch = false;  ///< the patch brings the line
  bool operator==(const Diagnostic& other) const = default;
};

/// Errors and warnings of GCC, Clang, the assembler or sparse, each once, errors
/// first; those at lines of the patch before others. `tree` is what was compiled,
/// `folder` where the compiler ran.
std::vector<Diagnostic> parse_diagnostics(std::string_view said, const std::filesystem::path& tree,
                                          const std::filesystem::path& folder,
                                          const std::vector<hw::kernels::ChangedLines>& changed);

/// "FILE:LINE: error: TEXT"
std::string print(const Diagnostic& diagnostic);

}  // namespace lockstep::jobs::review
