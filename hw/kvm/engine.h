// SPDX-License-Identifier: GPL-2.0-or-later
/// The `kvm` engine: programs on real vCPUs behind /dev/kvm.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hw/kvm/host.h"
#include "hw/kvm/memory.h"
#include "hw/kvm/vcpu.h"
#include "spec/engine.h"

namespace lockstep::hw {

/// What this host's KVM can do, found by trying. Holds no KVM object, so a
/// parent may probe once and open one engine in each child that it forks.
struct KvmProbe {
  HostFacts host;
  Platform platform;
  /// Each feature that is missing, and why.
  std::vector<std::pair<Feature, std::string>> missing;
  GuestStyle style;
  /// Shared with the engines: filling it costs milliseconds.
  std::shared_ptr<PatternFile> pattern;
};

/// Open /dev/kvm, read capabilities, and run a tiny guest in each paging mode
/// at CPL 3 and CPL 0. The error says why KVM cannot be used and what to do.
Result<KvmProbe> probe_kvm();

/// An engine for one thread. Opens /dev/kvm itself, hence works after fork().
Result<std::unique_ptr<Engine>> open_kvm_engine();
Result<std::unique_ptr<Engine>> open_kvm_engine(const KvmProbe& probe);

}  // namespace lockstep::hw
