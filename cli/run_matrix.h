// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep run --property page-walk-matrix`.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/json_output.h"

namespace lockstep::cli {

struct MatrixRun {
  /// As asked for; empty: spec and impl.
  std::vector<std::string> engines = {};
  std::chrono::milliseconds budget{60'000};  ///< of the matrix, and of each further engine
  std::uint64_t seed = 1;                    ///< of the samples
  std::string failures = {};                 ///< folder for programs that fail
};

/// The whole matrix on spec and impl, then a random sample of it on each other
/// engine that was asked for. Prints a page; returns the exit code.
int run_matrix(const MatrixRun& run, const JsonOutput& json);

}  // namespace lockstep::cli
