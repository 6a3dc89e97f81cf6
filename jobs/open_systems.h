// SPDX-License-Identifier: GPL-2.0-or-later
/// Systems of threads as a process that may die opens them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tl/expected.hpp>

#include "props/schedule/search.h"
#include "props/schedule/system.h"

namespace lockstep::jobs {

struct OpenedSystems {
  std::shared_ptr<void> owner = {};  ///< of what the systems run on
  std::span<const props::schedule::System> systems = {};
  /// What a fresh process shows otherwise (SearchLimits::audit); may be empty.
  std::function<props::schedule::Audit(const props::schedule::System&,
                                       const props::schedule::Threads&,
                                       const props::schedule::Outcome&)>
      audit = {};
};

/// Called in the process that runs them; the error says why they cannot be had.
using OpenSystems = std::function<tl::expected<OpenedSystems, std::string>()>;

}  // namespace lockstep::jobs
