// SPDX-License-Identifier: GPL-2.0-or-later
/// One virtual CPU that runs stubs of the harness guest.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "hw/kvm/api.h"
#include "hw/kvm/capabilities.h"
#include "hw/kvm/dirty_ring.h"
#include "hw/kvm/guest_image.h"
#include "hw/kvm/stats.h"
#include "spec/engine.h"

namespace lockstep::hw {

/// How the guest gets from CPL 0 to CPL 3.
enum class Descent : std::uint8_t {
  iret,   ///< by its own IRET: KVM sees nothing but guest code
  sregs,  ///< by KVM_SET_SREGS: cheaper where ring 0 is interpreted
};

/// What decides how guest code has to be run on this host.
struct GuestStyle {
  Descent descent = Descent::iret;
  /// Ring 0 is interpreted by an emulator that has no INT3.
  bool interpreted_ring0 = false;
  /// QEMU's TCG takes no stack from a task state segment that is busy, as every one is
  /// that a processor uses: it aborts (get_ss_esp_from_tss()).
  bool available_task = false;
};

/// One run of one stub.
struct StubCall {
  Stub stub = Stub::nothing;
  Cpl cpl = Cpl::supervisor;
  std::uint64_t address = 0;  ///< RDI
  std::uint64_t value = 0;    ///< RAX
  std::uint32_t rcx = 0;
  std::uint32_t rdx = 0;
  bool ac = false;  ///< RFLAGS.AC
};

/// How the run of a stub ended.
struct Stop {
  /// Done, PageFault, Exception, InternalError, Errno, Livelock or Unexpected.
  Observation reason;
  std::uint64_t rax = 0;
  /// First MMIO exit on the way; completed before the stub went on.
  std::optional<Mmio> mmio;
};

class Vcpu {
 public:
  /// KVM_CREATE_VCPU. `slot` is the harness slot of the VM and outlives this.
  static Result<Vcpu> create(int kvm, int vm, unsigned index, PagingMode mode, GuestStyle style,
                             GuestCpuid cpuid, std::span<std::byte> slot);

  /// Put every register that a program can see to its initial state, with CR3
  /// at `root`. No guest code runs.
  Result<void> start(const Configuration& configuration, Gpa root);
  bool started() const { return started_; }
  /// The program is over; the next command needs start() again.
  void stop() { started_ = false; }

  /// Run a stub to its end. Afterwards the vCPU can run another one, whatever
  /// happened.
  Stop run(const StubCall& call);

  /// CR0, CR3, CR4 and EFER as the guest has them now.
  const kvm_sregs& control() const { return sregs_; }
  /// Read them back after a stub that may have changed them.
  Result<void> refresh_control();

  /// Map the dirty ring of the VM `vm`, which has them.
  Result<void> open_ring(int vm);
  /// The dirty ring, if the VM has them.
  std::optional<DirtyRing>& ring() { return ring_; }

  const VcpuStats& stats() const { return stats_; }
  int fd() const { return fd_.get(); }
  /// Linear address, for the privilege level, of this vCPU's parameters.
  Gva parameters(Cpl cpl) const;
  /// Set the parameters that a stub reads from memory.
  void set_parameters(std::uint64_t first, std::uint64_t second);

 private:
  Vcpu() = default;
  kvm_run& state() const { return *reinterpret_cast<kvm_run*>(run_.data()); }
  Gva code(Cpl cpl) const;
  void enter(const StubCall& call);
  void descend_by_iret(kvm_regs& regs, Gva rip, std::uint64_t flags);
  bool service_mmio(Stop& stop);
  Observation after_halt(const StubCall& call, std::uint64_t stop_rip);
  Observation after_internal_error(const StubCall& call, std::uint64_t stop_rip);
  std::uint64_t stack_word(std::uint64_t at, unsigned index) const;
  /// Put back the state before the stub, after an exit from its middle.
  void recover();
  void recover_from_shutdown();

  Fd fd_;
  Mapping run_;
  VcpuStats stats_;
  std::optional<DirtyRing> ring_;
  int vm_ = -1;  ///< owned by the Vm
  std::span<std::byte> slot_;
  HarnessLayout layout_;
  GuestStyle style_;
  PagingMode mode_ = PagingMode::level4;
  unsigned index_ = 0;
  /// What SET_SREGS restores: CS and SS of CPL 0, where every stub ends, and
  /// the control registers as refresh_control() last saw them.
  kvm_sregs sregs_{};
  bool started_ = false;
};

}  // namespace lockstep::hw
