// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: having a root before the guest is entered.
#include "impl/vcpu.h"

namespace lockstep::impl {

namespace {

/// Pages that one fault may take: a page a level, or the tables of a quartered root.
constexpr std::size_t pages_per_fault = 6;

}  // namespace

Expected<void> Vcpu::stock() {
  if (auto filled = cache_.topup(pages_per_fault); !filled) return filled;
  return vm_->mmu().make_available(pages_per_fault);
}

Expected<void> Vcpu::prepare_entry() {
  const std::uint64_t obsolete = vm_->mmu().obsolete_generation();
  if (seen_obsolete_ != obsolete) {
    seen_obsolete_ = obsolete;
    roots_.free_obsolete();
    reload_ = true;
  }
  if (!reload_ && roots_.frame()) return {};
  if (auto stocked = stock(); !stocked) return stocked;
  // Reclaim may have zapped a root that nobody used, never one in use.
  if (auto loaded = load_roots(); !loaded) return loaded;
  reload_ = false;
  return {};
}

Expected<void> Vcpu::load_roots() {
  ++flushes_;
  const bool tdp = vm_->settings().tdp;
  Role role = base_;
  role.level = static_cast<std::uint8_t>(hardware_levels_);
  if (role.direct) return roots_.load(cache_, 0, role);
  const PagingMode mode = state_.paging.mode;
  if (!tdp && (mode == PagingMode::bits32 || mode == PagingMode::pae)) {
    return roots_.load_quartered(cache_);
  }
  const Gpa table = state_.cr3 & entry::address;
  // KVM since 6.5 enters on a dummy root if CR3 points to no memory.
  if (!vm_->place(table)) {
    roots_.unload();
    return {};
  }
  return roots_.load(cache_, gpa_to_gfn(table), role);
}

Expected<void> Vcpu::load_quarter(Gva gva) {
  const auto quarter = static_cast<unsigned>((gva >> 30) & 3);
  Role role = base_;
  role.level = 2;
  if (role.has_4_byte_gpte) role.quadrant = static_cast<std::uint8_t>(quarter);
  const std::uint64_t table = role.has_4_byte_gpte ? state_.cr3 & entry::address32
                                                   : state_.pdptes[quarter] & entry::address;
  return roots_.set_quarter(cache_, quarter, gpa_to_gfn(table), role);
}

void Vcpu::unload() {
  roots_.clear();
  cache_.empty();
  reload_ = true;
}

}  // namespace lockstep::impl
