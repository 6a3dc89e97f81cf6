// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: control registers and what they change.
#include "impl/mutants.h"
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
    : vm_(&vm),
      number_(vm.join(*this)),
      caches_(vm.arena()),
      dirty_(vm.settings().dirty_log == DirtyLogMode::ring) {
  state_.paging = paging;
  if (!vm.settings().tdp) state_.paging.control.set(ControlBit::cr4_pke, false);
  state_.cr3 = cr3;
  if (paging.mode == PagingMode::pae) state_.pdptes = read_pdptes(cr3).value_or(state_.pdptes);
  registers_changed();
}

Vcpu::~Vcpu() {
  vm_->leave(*this);
  unload();
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
  const auto reading = reading_slots();
  const PagingRegisters& paging = state_.paging;
  bool keep = false;
  if (long_mode(paging.mode)) {
    if (paging.control.has(ControlBit::cr4_pcide)) {
      keep = (value & cr3_noflush) != 0;
      value &= ~cr3_noflush;
    }
    if (value >> paging.maxphyaddr != 0) return false;
  }
  if (paging.mode == PagingMode::pae) {
    const auto pdptes = read_pdptes(value);
    if (!pdptes) return false;
    state_.pdptes = *pdptes;
  }
  const bool same = state_.cr3 == value;
  state_.cr3 = value;
  ++flushes_;
  if (direct()) return true;
  // Another address space, even if its translations are kept.
  if (!mutant(Mutant::mmio_cache_kept)) mmio_.page.reset();
  const std::scoped_lock caching(caches_mutex_);
  {
    const auto held = vm_->exclusive();
    // Quartered roots belong to one value of CR3, and PDPTEs may have changed.
    if (!long_mode(paging.mode)) {
      roots_.unload();
      request(Request::load_root);
    } else if (!same) {
      if (roots_.switch_to(value, root_role())) {
        ++events_.fast_switches;
        roots_.each(/*earlier=*/false, [](ShadowPage& root) { root.write_flooding = 0; });
      } else {
        request(Request::load_root);
      }
    }
  }
  if (keep) return true;
  invalidate_pcid(static_cast<unsigned>(value & cr3_low));
  return true;
}

void Vcpu::invalidate_pcid(unsigned pcid) {
  if (direct()) return;
  const auto reading = reading_slots();
  if (!mutant(Mutant::mmio_cache_kept)) mmio_.page.reset();
  const bool pcide = state_.paging.control.has(ControlBit::cr4_pcide);
  if (!pcide || (state_.cr3 & cr3_low) == pcid) {
    request(Request::sync);
    ++flushes_;
  }
  if (!pcide) return;
  // Earlier roots of the PCID would have to be synchronized when they come back.
  const auto held = vm_->exclusive();
  roots_.free_pcid(pcid);
}

void Vcpu::flush_guest() {
  if (!mutant(Mutant::mmio_cache_kept)) mmio_.page.reset();
  if (!direct()) request(Request::flush_guest);
  ++flushes_;
}

void Vcpu::invlpg(Gva gva) {
  if (direct()) return;
  const auto reading = reading_slots();
  if (!mutant(Mutant::mmio_cache_kept)) mmio_.page.reset();
  const auto held = vm_->exclusive();
  // Global translations go whatever their PCID, so earlier roots count, too.
  roots_.each(/*earlier=*/true,
              [&](ShadowPage& root) { held.mmu().invalidate_address(root, gva); });
  if (roots_.quartered()) return;
}

bool Vcpu::set_control(ControlBit bit, bool on) {
  const auto reading = reading_slots();
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
  switch (bit) {
    case ControlBit::cr4_pge:
    case ControlBit::cr4_pcide:
      flush_guest();
      if (bit == ControlBit::cr4_pcide && !direct()) {
        const auto held = vm_->exclusive();
        roots_.clear();
        request(Request::load_root);
      }
      break;
    default:
      registers_changed();
  }
  if (paging.mode == PagingMode::pae && loads_pdptes(bit) && !direct()) {
    const auto held = vm_->exclusive();
    roots_.unload();
    request(Request::load_root);
  }
  return true;
}

void Vcpu::registers_changed() {
  const WalkTables before = tables_;
  tables_ = make_walk_tables(state_.paging);
  if (mutant(Mutant::permissions_kept)) tables_.permission = before.permission;
  if (mutant(Mutant::pkru_mask_kept) && before.pkru != decltype(before.pkru){}) {
    tables_.pkru = before.pkru;
  }
  base_ = base_role();
  hardware_levels_ = state_.paging.mode == PagingMode::level5 && !vm_->settings().tdp ? 5 : 4;
  if (vm_->settings().tdp && state_.paging.maxphyaddr > 48) hardware_levels_ = 5;
  ++flushes_;
  if (vm_->settings().tdp) return;
  mmio_ = MmioCache{};
  const auto held = vm_->exclusive();
  if (mutant(Mutant::root_of_other_role) && root_frame()) return;
  roots_.clear();
  request(Request::load_root);
}

Role Vcpu::base_role() const {
  const ControlBits& control = state_.paging.control;
  Role role = impl::base_role<std::uint64_t, std::uint8_t>(
      {.shadowed = !vm_->settings().tdp && state_.paging.mode != PagingMode::none,
       .four_byte_entries = state_.paging.mode == PagingMode::bits32,
       .wp = control.has(ControlBit::cr0_wp),
       .smep = control.has(ControlBit::cr4_smep),
       .smap = control.has(ControlBit::cr4_smap),
       .nx = tables_.nx_mask != 0,
       .pse = control.has(ControlBit::cr4_pse)});
  if (role.direct) return role;
  if (mutant(Mutant::role_forgets_wp)) role.cr0_wp = false;
  if (mutant(Mutant::role_forgets_smep)) role.smep_andnot_wp = false;
  return role;
}

}  // namespace lockstep::impl
