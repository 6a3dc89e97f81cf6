// SPDX-License-Identifier: GPL-2.0-or-later
/// The `config` lines.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "spec/text_cursor.h"
#include "spec/vocabulary/configuration.h"

namespace lockstep::spec::text {

/// Parses the settings of all config lines of one program; a setting that
/// stands twice, on one line or two, is an error.
class ConfigParser {
 public:
  explicit ConfigParser(Cursor& cursor) : cursor_(cursor), options_(cursor) {}
  /// The settings of one line, behind the word `config`.
  bool line(Configuration& configuration);

 private:
  bool setting(Configuration& configuration);
  bool roots(std::vector<Gpa>& roots);

  Cursor& cursor_;
  Options options_;
};

/// The paging mode always, every other setting that is not the default; lines
/// of at most 72 columns.
void print_config(std::string& out, const Configuration& configuration);

}  // namespace lockstep::spec::text
