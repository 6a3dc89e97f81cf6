// SPDX-License-Identifier: GPL-2.0-or-later
/// One virtual machine of a hosted kernel, for one program.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "hw/hosted/session.h"
#include "hw/kvm/api.h"
#include "spec/engine.h"

namespace lockstep::hw::hosted {

/// One virtual CPU: its file, and the page that it shares with user space.
struct MachineVcpu {
  KernelFile file;
  kvm_run* run = nullptr;
  std::vector<kvm_dirty_gfn*> ring;  ///< pages of the dirty ring
  std::uint64_t ring_next = 0;
  bool started = false;
  /// CR0, CR4 and EFER as the guest has them.
  std::array<std::uint64_t, 3> control{};
  std::uint32_t pkru = 0;  ///< as the program wrote it
};

class Machine {
 public:
  /// KVM_CREATE_VM, the harness slot, KVM_CREATE_VCPU and KVM_SET_CPUID2. The
  /// session outlives it.
  static Result<std::unique_ptr<Machine>> create(Session& session,
                                                 const Configuration& configuration);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  const KernelFile& vm() const { return vm_; }
  MachineVcpu& vcpu(unsigned index) { return vcpus_[index]; }
  std::span<MachineVcpu> vcpus() { return vcpus_; }

  /// KVM_SET_SREGS of the state that programs start with. A negative errno, or
  /// none, as KernelFile::ioctl().
  std::optional<long> start(unsigned index, const Configuration& configuration, Gpa root);
  /// Forget exceptions that wait for their injection.
  void drop_events(unsigned index);
  std::optional<long> set_slot(const UserSlots::Region& region);
  std::optional<long> get_dirty(unsigned id, std::span<std::uint64_t> words);
  std::optional<long> clear_dirty(unsigned id, std::uint64_t first, std::uint32_t count,
                                  std::span<std::uint64_t> words);
  /// Take every entry of every dirty ring, then KVM_RESET_DIRTY_RINGS.
  std::optional<long> collect(DirtyPages& pages);

 private:
  explicit Machine(Session& session) : session_(&session) {}
  Result<void> configure(const Configuration& configuration);
  Result<void> add_vcpu(unsigned index, const Configuration& configuration, GuestCpuid& cpuid);
  EngineError failed(const char* what, std::optional<long> result);

  Session* session_;
  // The VM's file lives until the last vCPU's is closed, whatever the order.
  KernelFile vm_;
  std::vector<MachineVcpu> vcpus_;
};

/// Entries of a dirty ring that fill one page.
inline constexpr std::uint64_t ring_page_entries = page_size / sizeof(kvm_dirty_gfn);
/// Pages of each vCPU's dirty ring; KVM wants a power of two.
inline constexpr std::uint64_t ring_pages = 4;

}  // namespace lockstep::hw::hosted
