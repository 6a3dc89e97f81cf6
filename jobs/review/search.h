// SPDX-License-Identifier: GPL-2.0-or-later
/// Random programs on the patched kernel, those first that reach changed lines:
/// what fails there and not on the base.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "jobs/review/bias.h"
#include "jobs/review/pairs.h"
#include "jobs/review/workbench.h"
#include "props/campaign.h"

namespace lockstep::jobs::review {

struct SearchOptions {
  std::chrono::milliseconds budget{20'000};
  /// How long the cases go on after a first detection: a second defect may follow.
  std::chrono::milliseconds after_first{2'000};
  std::chrono::milliseconds shrink_budget{6'000};  ///< of each detection
  std::size_t most = 3;                            ///< detections
  unsigned jobs = 1;
  std::filesystem::path failures = "failures";
  std::function<void(std::string_view)> progress;  ///< may be empty
  const std::atomic<bool>* stop = nullptr;         ///< not owned
};

struct SearchResult {
  std::vector<PairsResult::Failure> failures;
  std::uint64_t cases = 0;
  std::uint64_t commands = 0;
  std::uint64_t masked = 0;  ///< findings that the base shows too
  std::string masked_title;
  std::string unconfirmed;  ///< title of one that was not seen again
  std::string broken;       ///< why the engine could not go on
  double seconds = 0;
};

/// Random programs as the campaign of this seed makes them; `count` from case
/// `first` on. Empty before a child has opened the patched engine.
std::vector<NamedProgram> random_programs(const Workbench& bench, std::uint64_t first,
                                          std::uint64_t count);

SearchResult search(const Workbench& bench, const Bias& bias, const SearchOptions& options);

/// The least program with the same failure on the patched kernel and none on the
/// base; the one given if nothing smaller has.
Program reduce_failure(const Workbench& bench, const PairsResult::Failure& failure,
                       std::chrono::milliseconds budget, const std::function<bool()>& stop);

}  // namespace lockstep::jobs::review
