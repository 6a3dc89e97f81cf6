// SPDX-License-Identifier: GPL-2.0-or-later
/// Binary statistics of one vCPU (KVM_GET_STATS_FD).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "hw/kvm/fd.h"
#include "spec/engine.h"

namespace lockstep::hw {

/// Keeps the statistics fd and where the counter stands in it, so that a
/// reading is one pread(). Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD.
class VcpuStats {
 public:
  static Result<VcpuStats> open(int vcpu);

  /// Faults that installed a mapping; 0 if the kernel has no such counter.
  std::uint64_t pf_fixed() const;

 private:
  Fd fd_;
  std::optional<off_t> pf_fixed_;
};

}  // namespace lockstep::hw
