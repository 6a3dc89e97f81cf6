// SPDX-License-Identifier: GPL-2.0-or-later
/// From a failure as it was met to the least that shows it: shrunk on the
/// fastest engine that fails, confirmed where it was seen.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "props/finding.h"
#include "props/tester.h"
#include "spec/program.h"

namespace lockstep::props {

struct Reduced {
  /// One program; or the sequence that ends with the failing one.
  std::vector<Program> programs;
  /// As seen at confirmation; as met if it was not seen again.
  Finding finding;
  bool shrunk = false;
  bool confirmed = false;
};

struct ReduceSetup {
  /// With every engine of the run, as in TesterSetup.
  TesterSetup tester;
  std::chrono::milliseconds budget{10'000};
  std::function<bool()> stop;
};

/// `history` makes the programs since the last fresh VM, the failing one last;
/// it is asked only if the program alone does not fail.
Reduced reduce(const Program& program, const Finding& finding, const ReduceSetup& setup,
               const std::function<std::vector<Program>()>& history);

}  // namespace lockstep::props
