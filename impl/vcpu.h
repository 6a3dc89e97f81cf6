// SPDX-License-Identifier: GPL-2.0-or-later
/// One virtual CPU as its MMU sees it: registers, roots, caches and faults.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>

#include "impl/guest_walk.h"
#include "impl/memory_cache.h"
#include "impl/roots.h"
#include "impl/vm.h"
#include "impl/walk_tables.h"

namespace lockstep::impl {

/// A mapping was installed: the guest may retry.
struct Fixed {};
/// The guest gets #PF with this error code.
struct InjectPageFault {
  std::uint32_t code = 0;
};
/// No mapping can serve the access: see Vcpu::emulate().
struct NeedsEmulation {};
/// KVM_RUN returns this error.
struct RunError {
  Error error = Error::no_memory;
};
using FaultOutcome = std::variant<Fixed, InjectPageFault, NeedsEmulation, RunError>;

struct Loaded {
  std::uint64_t value = 0;
};
struct Stored {};
/// The gpa has no slot (or the slot is read-only, and it was a write).
struct MmioExit {
  Gpa gpa = 0;
};
using Emulated = std::variant<Loaded, Stored, InjectPageFault, MmioExit>;

/// Registers of a vCPU that its MMU reads.
struct VcpuState {
  PagingRegisters paging;
  std::uint64_t cr3 = 0;  ///< without bit 63
  std::array<std::uint64_t, 4> pdptes{};
  std::uint32_t pkru = 0;
};

/// KVM: struct kvm_vcpu with its struct kvm_mmu.
class Vcpu {
 public:
  /// `vm` outlives the vCPU. Bit `cr4_pke` needs TDP, as KVM clears PKU without.
  /// `cr3` is taken as KVM_SET_SREGS does: PDPTEs that cannot be loaded are not
  /// present, and nothing fails.
  Vcpu(Vm& vm, const PagingRegisters& paging, std::uint64_t cr3);
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  // Register writes; false means #GP(0) and nothing changed.

  /// MOV to CR3; bit 63 is legal while CR4.PCIDE is set. PAE loads the PDPTEs.
  bool set_cr3(std::uint64_t value);
  /// One bit of CR0, CR4 or EFER. Reloads PDPTEs where the SDM says so ("PDPTE
  /// Registers").
  bool set_control(ControlBit bit, bool on);
  void set_pkru(std::uint32_t value) { state_.pkru = value; }
  const VcpuState& state() const { return state_; }

  /// Service requests and have a root; to be called before each guest entry.
  /// KVM: vcpu_enter_guest(), kvm_mmu_reload().
  Expected<void> prepare_entry();
  /// Frame of the root table; none if CR3 points to no memory.
  std::optional<Hfn> root_frame() const { return roots_.frame(); }
  /// Level of that table.
  unsigned root_level() const { return hardware_levels_; }
  /// A CPU must flush its whole TLB when this value changes.
  std::uint64_t flush_generation() const { return flushes_ + vm_->mmu().flush_generation(); }

  /// A #PF that hardware took on the shadow tables. KVM: FNAME(page_fault)().
  FaultOutcome page_fault(Gva gva, const GuestAccess& access);
  /// A nested fault on the direct tables. KVM: direct_page_fault().
  FaultOutcome tdp_fault(Gpa gpa, AccessKind kind);
  /// Perform the access of `size` bytes in software. KVM: x86_emulate_instruction().
  Emulated emulate(Gva gva, const GuestAccess& access, unsigned size, std::uint64_t value);
  /// KVM_TRANSLATE. Sets accessed flags as a supervisor read does.
  std::optional<Gpa> translate(Gva gva);

  const Roots& roots() const { return roots_; }
  MemoryCache& cache() { return cache_; }
  /// Drop roots and cached pages. KVM: kvm_mmu_unload(), mmu_free_memory_caches().
  void unload();

 private:
  GuestWalk walk(Gva gva, const GuestAccess& access);
  void set_accessed_dirty(GuestWalk& walk, bool write);
  bool set_entry_bits(Gpa at, std::uint64_t bits);
  std::optional<std::array<std::uint64_t, 4>> read_pdptes(std::uint64_t cr3);
  void registers_changed();
  Role base_role() const;
  Role child_role(const GuestWalk& walk, unsigned level, Gva gva, Rights leaf_access) const;
  Expected<void> load_roots();
  Expected<void> load_quarter(Gva gva);
  Expected<void> stock();
  FaultOutcome direct_fault(Gpa gpa, AccessKind kind);
  Expected<bool> install(const GuestWalk& walk, Gva gva, MemorySlot& slot, Rights access);
  Expected<bool> install_direct(Gpa gpa, MemorySlot& slot, Rights access);
  Expected<ShadowPage*> descend(ShadowPage& from, unsigned entry, Gfn gfn, const Role& role);

  Vm* vm_;
  VcpuState state_;
  WalkTables tables_;
  Role base_;
  unsigned hardware_levels_ = 4;
  MemoryCache cache_;
  Roots roots_;
  bool reload_ = true;
  std::uint64_t seen_obsolete_ = 0;
  std::uint64_t flushes_ = 0;
};

}  // namespace lockstep::impl
