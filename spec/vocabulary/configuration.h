// SPDX-License-Identifier: GPL-2.0-or-later
/// What a virtual machine is before its first command.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"

namespace lockstep {

/// How KVM translates: shadow page tables, or two-dimensional paging.
enum class MmuKind : std::uint8_t { any, shadow, tdp };

/// How user space learns which pages were written, as enabled at VM creation:
/// bitmaps, plain or with KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, or
/// KVM_CAP_DIRTY_LOG_RING instead of bitmaps.
enum class DirtyLogMode : std::uint8_t { plain, manual, manual_all_set, ring };

/// Whose virtualization extension KVM drives: kvm-amd (SVM, NPT) or kvm-intel
/// (VMX, EPT).
enum class Vendor : std::uint8_t { amd, intel };

/// Wishes about the host: which vendor module, with which module parameters.
/// Engines that cannot choose ignore them; nothing that a guest or user space
/// may observe depends on them, except through Platform.
struct HostParameters {
  std::optional<Vendor> vendor;
  std::optional<bool> tdp_mmu;           ///< kvm.tdp_mmu
  std::optional<bool> eager_page_split;  ///< kvm.eager_page_split
  std::optional<bool> nx_huge_pages;     ///< kvm.nx_huge_pages
  std::optional<bool> ad_bits;           ///< kvm_intel.eptad; NPT always has them
  std::optional<bool> pml;               ///< kvm_intel.pml; without A/D bits nothing is logged
  /// The host's page tables, and those of NPT, have five levels; on where the guest's have.
  std::optional<bool> five_levels;
  /// With five levels, the host's physical addresses have 51 bits instead of 52: bit 51 is
  /// reserved, and can mark MMIO (kvm_mmu_reset_all_pte_masks()).
  std::optional<bool> spare_bit;
  /// Every place where KVM may reschedule or give up a contended lock does so.
  std::optional<bool> contended;
  /// The allocation with this number fails, counted from 0 at the creation of the
  /// VM; user space asks again after ENOMEM, so nothing else may change.
  std::optional<std::uint64_t> fail_allocation;
  /// What waits for a grace period of RCU or SRCU, as a free, is done as soon as no reader
  /// is left; else not before somebody waits.
  std::optional<bool> early_grace;
  /// The memory of slots is mapped by the host as PFNs without references (VM_PFNMAP).
  std::optional<bool> pfnmap;
  /// The host moves the page whose lookup has this number, counted from 0 at the
  /// creation of the VM, after KVM has looked it up and before KVM maps it.
  std::optional<std::uint64_t> race;
  bool operator==(const HostParameters&) const = default;
};

/// Bits of CR0, CR4 and EFER that take part in paging and that a program may
/// set at the start or toggle later. SDM "Control Registers".
enum class ControlBit : std::uint8_t {
  cr0_wp,
  cr4_pse,
  cr4_pge,
  cr4_smep,
  cr4_smap,
  cr4_pke,
  cr4_pcide,
  efer_nx
};
inline constexpr unsigned control_bit_count = 8;

/// A set of ControlBit.
class ControlBits {
 public:
  constexpr bool has(ControlBit bit) const { return (bits_ >> static_cast<unsigned>(bit)) & 1u; }
  constexpr void set(ControlBit bit, bool on) {
    const auto mask = static_cast<std::uint8_t>(1u << static_cast<unsigned>(bit));
    bits_ = static_cast<std::uint8_t>(on ? bits_ | mask : bits_ & ~mask);
  }
  constexpr bool operator==(const ControlBits&) const = default;

 private:
  std::uint8_t bits_ = 0;
};

/// The `config` lines of a program. Fixed for the life of the VM, except
/// `control`, which is what every vCPU starts with.
struct Configuration {
  PagingMode paging = PagingMode::level4;
  MmuKind mmu = MmuKind::any;
  unsigned vcpus = 1;
  /// Guest physical address width, in bits (CPUID 0x80000008).
  unsigned maxphyaddr = 40;
  DirtyLogMode dirty_log = DirtyLogMode::plain;
  /// The program needs System Management Mode and its address space.
  bool smm = false;
  /// KVM_X86_QUIRK_SLOT_ZAP_ALL: to delete or move a slot zaps every shadow
  /// page, not only what the slot mapped. Off: KVM_CAP_DISABLE_QUIRKS2.
  bool slot_zap_all = true;
  /// Host memory that the program's slots may map, in bytes.
  std::uint64_t memory = 16ull << 20;
  ControlBits control = [] {
    ControlBits bits;
    bits.set(ControlBit::cr0_wp, true);
    bits.set(ControlBit::efer_nx, true);
    return bits;
  }();
  /// Gpa of every page that CR3 may ever point to; each vCPU starts on the
  /// first. Their entries from harness_index() up belong to the engine.
  std::vector<Gpa> roots = {0x1000};
  /// Where `map` takes its table pages from, upwards.
  Gpa tables = 0x10000;
  /// The `host` lines.
  HostParameters host;

  bool operator==(const Configuration&) const = default;
};

/// The part of the guest that engines with real vCPUs keep for their own code
/// (entry stubs, IDT, stacks). Programs stay out of both ranges.
namespace harness {
inline constexpr Gpa base = 0xd000'0000;
inline constexpr std::uint64_t size = 0x40'0000;
/// Memory slots from this number up belong to the engine.
inline constexpr unsigned first_slot = 500;
/// Table pages must lie below: guest writes to entries go through a window of
/// the harness that covers [0, window).
inline constexpr Gpa window = 0x20'0000;
}  // namespace harness

/// First index of a root table whose entries belong to the engine.
constexpr unsigned harness_index(PagingMode mode) {
  switch (mode) {
    case PagingMode::bits32:
      return 1022;
    case PagingMode::pae:
      return 3;
    default:
      return 511;
  }
}

/// Bytes that a fresh page of program memory holds: every aligned 8 bytes are
/// the machine code `mov $hfn, %eax; int3; int3; int3` (B8 imm32 CC CC CC), so
/// that a fetch can be observed, the page names itself, and both aligned halves
/// read as not-present page-table entries (bit 0 clear while hfn < 2^24).
constexpr std::uint64_t code_cell(std::uint32_t immediate) {
  return 0xcccc'cc00'0000'00b8ull | (static_cast<std::uint64_t>(immediate) << 8);
}

}  // namespace lockstep
