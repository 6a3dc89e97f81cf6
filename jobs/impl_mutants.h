// SPDX-License-Identifier: GPL-2.0-or-later
/// `mutants` without a kernel: `impl` with one seeded defect at a time, and
/// whether random programs find it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "jobs/kernel_mutants.h"
#include "props/impl_engine_mutants.h"

namespace lockstep::jobs {

struct ImplMutantsOptions {
  std::vector<props::ImplMutant> mutants;    ///< those to run
  std::chrono::milliseconds budget{20'000};  ///< CPU time of each
  std::uint64_t seed = 1;
  std::filesystem::path failures = "failures";
  std::filesystem::path corpus;  ///< programs for what random ones do not detect; may be empty
  std::function<void(std::string_view)> progress;  ///< one line at a time; may be empty
  std::function<void(const MutantRow&)> done;      ///< may be empty
  const std::atomic<bool>* stop = nullptr;         ///< not owned
};

/// Run them all, after `impl` without a defect; its findings detect nothing. An
/// error if this build has no defects.
tl::expected<KernelMutantsReport, std::string> run_impl_mutants(const ImplMutantsOptions& options);

}  // namespace lockstep::jobs
