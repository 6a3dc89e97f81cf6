// SPDX-License-Identifier: GPL-2.0-or-later
/// Ctrl-C ends a run early and keeps what it found.
#pragma once

#include <atomic>

namespace lockstep::cli {

/// From now on the first SIGINT, SIGTERM or SIGHUP sets the returned flag; the
/// second kills the process, as if nobody had asked.
const std::atomic<bool>& stop_on_interrupt();

}  // namespace lockstep::cli
