// SPDX-License-Identifier: GPL-2.0-or-later
/// /dev/kvm itself: opening it, what it must be able to do, its guest CPUID.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "hw/kvm/api.h"
#include "hw/kvm/fd.h"
#include "spec/engine.h"

namespace lockstep::hw {

/// CPUID registers, in the order of the ioctl's fields.
enum class CpuidRegister : std::uint8_t { eax, ebx, ecx, edx };

/// CPUID of a guest, starting from KVM_GET_SUPPORTED_CPUID.
class GuestCpuid {
 public:
  GuestCpuid() = default;
  static Result<GuestCpuid> supported(int kvm);
  /// That of another KVM than this host's, as its ioctl gave it.
  explicit GuestCpuid(const CpuidTable& table) : table_(table) {}
  /// Forget every leaf but these.
  void keep(std::span<const std::uint32_t> leaves);
  CpuidTable& table() { return table_; }
  /// Bit of a leaf, index 0; clear if the leaf is absent.
  bool has(std::uint32_t leaf, CpuidRegister which, unsigned bit) const;
  /// Guest physical address width, in bits (CPUID 0x80000008).
  unsigned maxphyaddr() const;
  /// The vendor is AMD or Hygon (CPUID leaf 0): a few reserved bits differ.
  bool amd() const;
  void set_maxphyaddr(unsigned bits);
  /// Leaves that describe paging features, in print form, for provenance.
  std::string summary() const;
  /// KVM_SET_CPUID2 on a vCPU that has not run.
  Call apply(int vcpu);

 private:
  const kvm_cpuid_entry2* find(std::uint32_t leaf) const;
  CpuidTable table_;
};

/// KVM_CHECK_EXTENSION; 0 if absent.
int capability(int kvm, int number);

/// Capabilities that matter here, by name, in a fixed order.
std::vector<std::pair<std::string, int>> capabilities(int kvm);

/// Open /dev/kvm and check that its API and capabilities suffice. The error
/// says what is missing and what to do about it.
Result<Fd> open_kvm(const char* path = "/dev/kvm");

}  // namespace lockstep::hw
