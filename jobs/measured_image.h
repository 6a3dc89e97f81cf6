// SPDX-License-Identifier: GPL-2.0-or-later
/// An image of a kernel, and which of its lines have run.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "hw/hosted/build/line_coverage.h"
#include "hw/hosted/coverage.h"
#include "hw/kernels/cache.h"
#include "hw/kernels/mutant.h"
#include "hw/kernels/source.h"

namespace lockstep::jobs {

/// An image with the memory that says what of it ran; without it if the flavour
/// counts nothing.
struct Measured {
  std::filesystem::path image;
  std::shared_ptr<hw::hosted::Coverage> coverage;
  std::optional<hw::hosted::LineCoverage> lines;

  /// Of a line of the kernel; no code where nothing is counted.
  hw::hosted::LineCoverage::State state(const std::string& file, unsigned line) const;
};

/// Build the image of that flavour; of the one that counts if it is empty.
hw::kernels::Result<Measured> measure(const hw::kernels::Cache& cache,
                                      const hw::kernels::Source& source, const std::string& flavour,
                                      const hw::kernels::Progress& progress);

/// Whether a line ran that the mutation brings, in the mutant, or takes away, in the base;
/// none if no such line has code.
std::optional<bool> reached(const hw::kernels::Mutation& mutation, const Measured& base,
                            const Measured& mutated);

}  // namespace lockstep::jobs
