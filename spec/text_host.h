// SPDX-License-Identifier: GPL-2.0-or-later
/// The two kinds of lines that begin with `host`: before the first command the
/// parameters of the host, afterwards what it does to the program's memory.
#pragma once

#include <string>

#include "spec/command.h"
#include "spec/text_cursor.h"
#include "spec/vocabulary/configuration.h"

namespace lockstep::spec::text {

/// Whether the line at the position sets host parameters: `host`, a word, '='.
bool at_host_parameters(const Cursor& cursor);

/// Parses the `host` lines of the head; a parameter that stands twice is an
/// error.
class HostParser {
 public:
  explicit HostParser(Cursor& cursor) : cursor_(cursor), options_(cursor) {}
  /// The parameters of one line, behind the word `host`.
  bool line(HostParameters& host);

 private:
  bool parameter(HostParameters& host);

  Cursor& cursor_;
  Options options_;
};

/// The line of parameters, if any is set.
void print_host(std::string& out, const HostParameters& host);

/// What stands behind `host` in a command.
bool parse_host_change(Cursor& cursor, HostChange& out);

}  // namespace lockstep::spec::text
