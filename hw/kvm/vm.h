// SPDX-License-Identifier: GPL-2.0-or-later
/// One virtual machine with its vCPUs and the harness slot.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <vector>

#include "hw/kvm/api.h"
#include "hw/kvm/fd.h"
#include "hw/kvm/vcpu.h"

namespace lockstep::hw {

/// What a VM keeps for life: programs that agree on it may share the VM.
struct VmKey {
  PagingMode paging = PagingMode::level4;
  unsigned vcpus = 1;
  unsigned maxphyaddr = 40;
  DirtyLogMode dirty_log = DirtyLogMode::plain;
  bool slot_zap_all = true;

  static VmKey of(const Configuration& configuration);
  bool operator==(const VmKey&) const = default;
};

class Vm {
 public:
  /// Create the VM, its harness slot and its vCPUs, none of them started.
  static Result<std::unique_ptr<Vm>> create(int kvm, const VmKey& key, GuestStyle style,
                                            GuestCpuid cpuid);

  const VmKey& key() const { return key_; }
  std::vector<Vcpu>& vcpus() { return vcpus_; }
  int fd() const { return fd_.get(); }

  /// KVM_SET_USER_MEMORY_REGION with `host` as the address of hva 0.
  Call set_slot(const UserSlots::Region& region, std::byte* host);
  /// KVM_GET_DIRTY_LOG into `words`, which must cover the whole slot.
  Call get_dirty(unsigned id, std::span<std::uint64_t> words);
  /// KVM_CLEAR_DIRTY_LOG; `words` covers `count` pages.
  Call clear_dirty(unsigned id, std::uint64_t first, std::uint32_t count,
                   std::span<std::uint64_t> words);
  /// Take what the dirty rings hold, and KVM_RESET_DIRTY_RINGS; for VMs that
  /// have rings.
  Call collect(DirtyPages& into);
  /// KVM_SET_NR_MMU_PAGES, until clean().
  Call set_mmu_pages(std::uint64_t pages);
  /// Delete every slot of programs and stop the vCPUs.
  Call clean();

 private:
  explicit Vm(const VmKey& key) : key_(key) {}
  Call configure();

  VmKey key_;
  // Destroyed last: the VM refers to the mapping, the vCPUs to both.
  Mapping harness_;
  Fd fd_;
  std::vector<Vcpu> vcpus_;
  std::set<unsigned> live_slots_;
  /// A program set the limit of shadow pages.
  bool mmu_pages_set_ = false;
};

}  // namespace lockstep::hw
