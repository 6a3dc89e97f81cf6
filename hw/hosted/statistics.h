// SPDX-License-Identifier: GPL-2.0-or-later
/// KVM's own binary statistics of a hosted VM and its vCPUs, summed over programs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hw/hosted/session.h"

namespace lockstep::hw::hosted {

/// Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD: sums of every counter that
/// only grows, by the kernel's own name ("pf_fixed", "mmu_unsync").
class Statistics {
 public:
  /// Add what the file of a VM or vCPU has counted since it was made. Files of one
  /// kind share their layout, which is read once. False if the kernel has none or
  /// the file is not as documented.
  bool add(Session& session, const KernelFile& file, bool is_vcpu);

  /// "kvm pf_fixed" and so on; counters that never moved are left out.
  void report(std::map<std::string, std::uint64_t>& reached) const;

 private:
  struct Layout {
    bool known = false;
    unsigned long data = 0;  ///< offset of the values in the file
    unsigned long size = 0;  ///< bytes of values
    struct Counter {
      std::string name;
      unsigned long offset = 0;
    };
    std::vector<Counter> counters;
    std::vector<std::uint64_t> sums;
  };
  static bool read_layout(Session& session, const KernelFile& file, Layout& layout);

  Layout vm_;
  Layout vcpu_;
  std::vector<std::uint64_t> values_;
};

}  // namespace lockstep::hw::hosted
