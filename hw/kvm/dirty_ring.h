// SPDX-License-Identifier: GPL-2.0-or-later
/// The dirty ring of one vCPU: Documentation/virt/kvm/api.rst,
/// KVM_CAP_DIRTY_LOG_RING.
#pragma once

#include "hw/kvm/api.h"
#include "hw/kvm/fd.h"
#include "spec/engine.h"

namespace lockstep::hw {

/// Bytes of one ring: far more entries than a program usually makes between
/// two collections, far fewer than its bound on commands.
inline constexpr std::uint64_t dirty_ring_bytes = 1u << 16;

class DirtyRing {
 public:
  /// The ring of a vCPU of a VM with KVM_CAP_DIRTY_LOG_RING enabled.
  static Result<DirtyRing> map(int vcpu);

  /// Take every new entry. KVM protects its page again, and uses its place
  /// again, at the next KVM_RESET_DIRTY_RINGS.
  void harvest();
  /// What was harvested since the last call.
  DirtyPages take() { return std::exchange(harvested_, {}); }

 private:
  Mapping ring_;
  std::uint32_t next_ = 0;
  DirtyPages harvested_;
};

}  // namespace lockstep::hw
