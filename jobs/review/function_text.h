// SPDX-License-Identifier: GPL-2.0-or-later
/// C text by functions, as the kernel lays it out: a brace in the first column opens
/// one, and another closes it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jobs/review/lines.h"

namespace lockstep::jobs::review {

struct FunctionText {
  unsigned first_line = 0;         ///< of the opening brace, from 1
  std::vector<std::string> lines;  ///< from brace to brace
};

inline std::vector<FunctionText> functions_in(std::string_view text) {
  std::vector<FunctionText> functions;
  unsigned number = 0;
  bool within = false;
  for (const auto line : lines_of(text)) {
    ++number;
    if (line == "{") {
      functions.push_back({number, {}});
      within = true;
    }
    if (within) functions.back().lines.emplace_back(line);
    if (line.starts_with('}')) within = false;
  }
  return functions;
}

}  // namespace lockstep::jobs::review
