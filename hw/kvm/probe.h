// SPDX-License-Identifier: GPL-2.0-or-later
/// Self-test of one paging mode on an engine: what decides whether the mode is
/// a feature of this host.
#pragma once

#include <optional>
#include <string>

#include "spec/engine.h"

namespace lockstep::hw {

/// Run a tiny guest in the mode: read, write and fetch at CPL 3, read and page
/// fault at CPL 3 and CPL 0. First reason why the mode does not work; none if
/// it does.
std::optional<std::string> self_test(Engine& engine, PagingMode mode, unsigned maxphyaddr,
                                     MmuKind mmu = MmuKind::any);

}  // namespace lockstep::hw
