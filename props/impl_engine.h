// SPDX-License-Identifier: GPL-2.0-or-later
/// The optimized MMU under the software processor, as an engine.
#pragma once

#include <memory>

#include "spec/engine.h"

namespace lockstep::props {

/// An engine named "impl". It needs nothing of the host and runs every program
/// except those that need System Management Mode; `mmu=any` means shadow paging.
/// Protection keys exist only under two-dimensional paging, as in KVM.
std::unique_ptr<Engine> make_impl_engine();

}  // namespace lockstep::props
