// SPDX-License-Identifier: GPL-2.0-or-later
/// Which engines take part when the command line names some, or none.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "props/engine_factory.h"
#include "props/lockstep.h"

namespace lockstep::cli {

struct ChosenEngines {
  /// Of a name that stands for several engines, those.
  std::vector<std::string> names;
  /// Engines that the default would have, were they usable here.
  std::vector<props::Skip> not_run;
  /// The command line named them: each must then run.
  bool asked = false;
};

/// The engines in `asked`, whether usable or not, so that the run can say why
/// it has no verdict; by default all that this machine can make. The error is
/// an input error of one line: an unknown name, or one that stands twice.
/// `make` is props::make_engine() outside of tests.
tl::expected<ChosenEngines, std::string> choose_engines(const std::vector<std::string>& asked,
                                                        const props::EngineFactory& make);

/// "kvm: not run: REASON", a line for each that did not.
std::string not_run_lines(const ChosenEngines& engines);

}  // namespace lockstep::cli
