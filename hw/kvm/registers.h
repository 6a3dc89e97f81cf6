// SPDX-License-Identifier: GPL-2.0-or-later
/// Initial system registers of a vCPU. SDM "Control Registers" and "Segment
/// Registers".
#pragma once

#include "hw/kvm/api.h"
#include "hw/kvm/harness_layout.h"

namespace lockstep::hw {

namespace cr0 {
inline constexpr std::uint64_t base = 0x33;  ///< PE, MP, ET, NE
inline constexpr std::uint64_t wp = 1ull << 16;
inline constexpr std::uint64_t pg = 1ull << 31;
}  // namespace cr0

namespace cr4 {
inline constexpr std::uint64_t pse = 1ull << 4;
inline constexpr std::uint64_t pae = 1ull << 5;
inline constexpr std::uint64_t pge = 1ull << 7;
inline constexpr std::uint64_t base = 0x600;  ///< OSFXSR, OSXMMEXCPT
inline constexpr std::uint64_t la57 = 1ull << 12;
inline constexpr std::uint64_t pcide = 1ull << 17;
inline constexpr std::uint64_t smep = 1ull << 20;
inline constexpr std::uint64_t smap = 1ull << 21;
inline constexpr std::uint64_t pke = 1ull << 22;
}  // namespace cr4

namespace efer {
inline constexpr std::uint32_t msr = 0xc000'0080;
inline constexpr std::uint64_t long_mode = 0x500;  ///< LME, LMA
inline constexpr std::uint64_t nx = 1ull << 11;
}  // namespace efer

/// Control register that holds the bit, and its mask.
enum class ControlRegister : std::uint8_t { cr0, cr4, efer };
struct ControlPlace {
  ControlRegister which;
  std::uint64_t mask;
};
ControlPlace place(ControlBit bit);

/// Give `sregs`, as KVM_GET_SREGS returned it, the state that every program
/// starts with, at CPL 0.
void set_initial(kvm_sregs& sregs, const Configuration& configuration, Gpa root, unsigned vcpu);

/// CS and SS for the privilege level.
void set_privilege(kvm_sregs& sregs, PagingMode mode, Cpl cpl);

}  // namespace lockstep::hw
