// SPDX-License-Identifier: GPL-2.0-or-later
/// What runs of `mutants` found, kept beside the kernels: what Lockstep can see in
/// a function, for whoever asks later.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "hw/kernels/cache.h"

namespace lockstep::jobs {

struct MutantResult {
  bool reached = false;
  bool detected = false;
};

/// Add the rows of a run (json_rows()) to what is kept for this kernel; a later run
/// replaces an earlier one mutant by mutant.
hw::kernels::Result<void> keep_results(const hw::kernels::Cache& cache, const std::string& release,
                                       const nlohmann::json& rows);

/// By name of the mutant; empty if nothing is kept.
std::map<std::string, MutantResult> kept_results(const hw::kernels::Cache& cache,
                                                 const std::string& release);

}  // namespace lockstep::jobs
