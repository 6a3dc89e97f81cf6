// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: control registers and what they change.
#include "impl/vcpu.h"

namespace lockstep::impl {

namespace {

bool long_mode(PagingMode mode) { return mode == PagingMode::level4 || mode == PagingMode::level5; }

constexpr std::uint64_t cr3_noflush = 1ull << 63;
constexpr std::uint64_t cr3_low = page_size - 1;

/// Bits whose change by MOV to CR4 loads the PDPTEs. SDM "PDPTE Registers".
bool loads_pdptes(ControlBit bit) {
  return bit == ControlBit::cr4_pse || bit == ControlBit::cr4_pge || bit == ControlBit::cr4_smep;
}

}  // namespace

Vcpu::Vcpu(Vm& vm, const PagingRegisters& paging, std::uint64_t cr3)
    : vm_(&vm), cache_(vm.mmu().arena()), roots_(vm.mmu()) {
  state_.paging = paging;
  if (!vm.settings().tdp) state_.paging.control.set(ControlBit::cr4_pke, false);
  state_.cr3 = cr3;
  if (paging.mode == PagingMode::pae) state_.pdptes = read_pdptes(cr3).value_or(state_.pdptes);
  registers_changed();
}

std::optional<std::array<std::uint64_t, 4>> Vcpu::read_pdptes(std::uint64_t cr3) {
  std::array<std::uint64_t, 4> pdptes{};
  const Gpa table = cr3 & 0xffff'ffe0ull;
  const std::uint64_t reserved = pdpte_reserved(state_.paging.maxphyaddr);
  for (unsigned i = 0; i < pdptes.size(); ++i) {
    const Vm::Place at = vm_->place(table + i * 8);
    if (!at) return std::nullopt;
    pdptes[i] = vm_->memory().load(at.hva, 8);
    if ((pdptes[i] & entry::present) != 0 && (pdptes[i] & reserved) != 0) return std::nullopt;
  }
  return pdptes;
}

bool Vcpu::set_cr3(std::uint64_t value) {
  const PagingRegisters& paging = state_.paging;
  if (long_mode(paging.mode)) {
    if (paging.control.has(ControlBit::cr4_pcide)) value &= ~cr3_noflush;
    if (value >> paging.maxphyaddr != 0) return false;
  }
  if (paging.mode == PagingMode::pae) {
    const auto pdptes = read_pdptes(value);
    if (!pdptes) return false;
    state_.pdptes = *pdptes;
  }
  state_.cr3 = value;
  reload_ |= !vm_->settings().tdp;
  ++flushes_;
  return true;
}

bool Vcpu::set_control(ControlBit bit, bool on) {
  PagingRegisters& paging = state_.paging;
  if (bit == ControlBit::cr4_pke && on && !vm_->settings().tdp) return false;
  if (paging.control.has(bit) == on) return true;
  if (bit == ControlBit::cr4_pcide && on) {
    if (!long_mode(paging.mode) || (state_.cr3 & cr3_low) != 0) return false;
  }
  if (paging.mode == PagingMode::pae && loads_pdptes(bit)) {
    const auto pdptes = read_pdptes(state_.cr3);
    if (!pdptes) return false;
    state_.pdptes = *pdptes;
  }
  paging.control.set(bit, on);
  registers_changed();
  return true;
}

void Vcpu::registers_changed() {
  tables_ = make_walk_tables(state_.paging);
  base_ = base_role();
  hardware_levels_ = state_.paging.mode == PagingMode::level5 && !vm_->settings().tdp ? 5 : 4;
  if (vm_->settings().tdp && state_.paging.maxphyaddr > 48) hardware_levels_ = 5;
  reload_ |= !vm_->settings().tdp;
  ++flushes_;
}

Role Vcpu::base_role() const {
  Role role;
  if (vm_->settings().tdp || state_.paging.mode == PagingMode::none) {
    role.direct = true;
    return role;
  }
  const ControlBits& control = state_.paging.control;
  const bool wp = control.has(ControlBit::cr0_wp);
  role.has_4_byte_gpte = state_.paging.mode == PagingMode::bits32;
  role.cr0_wp = wp;
  role.smep_andnot_wp = control.has(ControlBit::cr4_smep) && !wp;
  role.smap_andnot_wp = control.has(ControlBit::cr4_smap) && !wp;
  role.efer_nx = tables_.nx_mask != 0;
  // KVM keeps CR4.PSE, MAXPHYADDR and the like in its extended role, for the
  // same reason: shadow pages made under other rules must not be found.
  role.cr4_pse = control.has(ControlBit::cr4_pse);
  return role;
}

}  // namespace lockstep::impl
