// SPDX-License-Identifier: GPL-2.0-or-later
/// The KVM ioctl interface as C++ sees it.
#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <tl/expected.hpp>

namespace lockstep::hw {

/// KVM_X86_QUIRK_SLOT_ZAP_ALL of KVM_CAP_DISABLE_QUIRKS2; Linux 6.12.
inline constexpr std::uint64_t slot_zap_all_quirk = 1u << 7;

/// What an ioctl returned, or its positive errno.
using Call = tl::expected<int, int>;

template <typename Argument>
Call kvm_call(int fd, unsigned long request, Argument argument) {
  const int result = ::ioctl(fd, request, argument);
  if (result < 0) return tl::unexpected(errno);
  return result;
}

/// struct kvm_cpuid2 with room for its entries. The header's own struct ends in
/// a flexible array inside an empty-struct wrapper, which C++ lays out (and
/// encodes into the ioctl number) differently from C; hence the numbers below.
struct CpuidTable {
  std::uint32_t count = 256;
  std::uint32_t padding = 0;
  std::array<kvm_cpuid_entry2, 256> entries{};
};
inline constexpr unsigned long get_supported_cpuid = _IOC(_IOC_READ | _IOC_WRITE, KVMIO, 0x05, 8);
inline constexpr unsigned long set_cpuid2 = _IOC(_IOC_WRITE, KVMIO, 0x90, 8);

}  // namespace lockstep::hw
