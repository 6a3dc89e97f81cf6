// SPDX-License-Identifier: GPL-2.0-or-later
/// A process that runs a kernel which nobody has read.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace lockstep::jobs::review {

/// From now on this process and what it becomes makes no other process, runs no
/// other program, opens no socket, writes, makes, removes and renames no file that is
/// not open already, and signals nobody else: such system calls fail with EPERM. It
/// loses root's capabilities. Memory and the descriptors that it holds are as before.
/// The error says what the host refused.
tl::expected<void, std::string> confine_this_process();

/// Whether this host lets a process confine itself; tried in a child.
bool confinement_works();

}  // namespace lockstep::jobs::review
