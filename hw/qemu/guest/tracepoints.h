// SPDX-License-Identifier: GPL-2.0-or-later
/// How often each trace point of kvmmmu was passed, counted by the kernel.
#pragma once

#include <string>
#include <vector>

#include "hw/qemu/messages.h"

namespace lockstep::hw::qemu::guest {

/// Each event has a trace instance of its own, whose buffer is never read: the
/// kernel counts what it wrote there and what it overwrote.
class Tracepoints {
 public:
  /// Enable what the loaded module has; nothing where the kernel traces nothing.
  void enable();
  void disable();
  /// "kvmmmu:kvm_mmu_get_page" and its count since enable().
  Counts counts() const;

 private:
  std::vector<std::string> events_;
};

}  // namespace lockstep::hw::qemu::guest
