// SPDX-License-Identifier: GPL-2.0-or-later
/// Caches of shadow pages, the shrinker that empties them, and the counter of
/// what they hold: "KVM: x86/mmu: Repurpose KVM MMU shrinker to purge shadow
/// page caches" (v3, December 2022), repaired, and each defect of it.
///
/// Runs impl's ObjectCache. What stands around it is a model: locks, the list of
/// VMs, the counter and module exit exist in no kernel in this form, since the
/// series was never merged (fe140e611d34 removed the shrinker).
#pragma once

#include "props/schedule/system.h"

namespace lockstep::props::schedule {

extern const System page_caches;

}  // namespace lockstep::props::schedule
