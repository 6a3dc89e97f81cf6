// SPDX-License-Identifier: GPL-2.0-or-later
/// The view of a VM that a kernel image runs.
#pragma once

#include "hw/hosted/session.h"
#include "spec/engine.h"
#include "spec/kvm/view.h"

namespace lockstep::hw::hosted {

/// Read the VM behind the file of the kernel. Between two calls into the image
/// only; the kernel's state does not change. The error says what the kernel
/// found wrong while its own structures were followed.
Result<spec::View> take_view(Session& session, int vm_file);

}  // namespace lockstep::hw::hosted
