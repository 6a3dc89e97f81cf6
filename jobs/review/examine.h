// SPDX-License-Identifier: GPL-2.0-or-later
/// One patched kernel beside its base: every way of running programs, within a
/// budget.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/review/review.h"
#include "jobs/review/workbench.h"

namespace lockstep::jobs::review {

struct ExamineOptions {
  std::chrono::milliseconds budget{40'000};
  std::filesystem::path failures;
  std::filesystem::path corpus;
  std::vector<std::string> expected;
  unsigned jobs = 1;
  std::function<void(std::string_view)> progress;  ///< may be empty
  const std::atomic<bool>* stop = nullptr;         ///< not owned
};

/// Corpus and random programs on both, costs, a search that prefers what reaches
/// the changed lines. Fills the row's findings, reach, remarks and counts.
void examine(Workbench& bench, const ExamineOptions& options, PatchReport& row);

}  // namespace lockstep::jobs::review
