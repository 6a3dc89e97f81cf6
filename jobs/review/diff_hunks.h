// SPDX-License-Identifier: GPL-2.0-or-later
/// The hunks of a diff that is known to be whole, line by line with their numbers.
#pragma once

#include <string>
#include <vector>

#include "jobs/review/workbench.h"

namespace lockstep::jobs::review {

struct DiffLine {
  char kind = ' ';  ///< '+', '-', ' ' or '\\'
  std::string text;
  Place place;  ///< of removed lines in the base, of all others in the patched tree
};

struct DiffHunk {
  std::string file;
  std::vector<std::string> file_header;  ///< "--- ", "+++ "
  std::string header;                    ///< "@@ -1,2 +1,2 @@ heading"
  std::string heading;
  std::vector<DiffLine> lines;
};

std::vector<DiffHunk> diff_hunks(const std::string& diff);

}  // namespace lockstep::jobs::review
