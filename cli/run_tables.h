// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep run --property tables-on-hardware`.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/json_output.h"

namespace lockstep::cli {

struct TablesRun {
  /// As asked for; empty: impl and kvm. Of others, who walks impl's tables.
  std::vector<std::string> engines = {};
  std::chrono::milliseconds budget{60'000};
  std::uint64_t seed = 1;
  std::string failures = {};  ///< folder for programs that fail
};

/// Tables of impl on the processor of the other engine. Prints a page; returns
/// the exit code.
int run_tables(const TablesRun& run, const JsonOutput& json);

}  // namespace lockstep::cli
