// SPDX-License-Identifier: GPL-2.0-or-later
/// Time for engines that boot a kernel.
#pragma once

#include <chrono>
#include <span>
#include <string>

namespace lockstep::props {

/// What deadlines must add for these engines: those that boot a kernel do so when they
/// are opened, and again at the program behind one that spoiled it. Such an engine keeps
/// the time of each command itself.
std::chrono::milliseconds boot_allowance(std::span<const std::string> names);

}  // namespace lockstep::props
