// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: requests, and having a root before the guest is entered.
#include "impl/mutants.h"
#include "impl/vcpu.h"

namespace lockstep::impl {

/// Fill the caches, with nothing locked but them.
Expected<void> Vcpu::stock() { return caches_.topup(); }

std::size_t Vcpu::purge_caches() {
  const std::unique_lock lock(caches_mutex_, std::try_to_lock);
  return lock ? caches_.empty() : 0;
}

bool Vcpu::take_request(Request what) {
  const std::uint32_t bit = 1u << static_cast<unsigned>(what);
  const bool pending = (requests_ & bit) != 0;
  requests_ &= ~bit;
  return pending;
}

std::optional<Hfn> Vcpu::root_frame() const {
  if (!vm_->uses_tdp_mmu()) return roots_.frame();
  if (!tdp_root_.usable()) return std::nullopt;
  return tdp_root_.page().frame();
}

bool Vcpu::drops_obsolete_roots() const {
  const bool asked = ((requests_ >> static_cast<unsigned>(Request::free_obsolete_roots)) & 1u) != 0;
  const bool invalidated = vm_->uses_tdp_mmu() && tdp_root_ && !tdp_root_.usable();
  return asked || invalidated || seen_obsolete_ != vm_->obsolete_generation();
}

Expected<void> Vcpu::prepare_entry() {
  const std::uint64_t obsolete = vm_->obsolete_generation();
  if (seen_obsolete_ != obsolete) {
    seen_obsolete_ = obsolete;
    request(Request::free_obsolete_roots);
  }
  if (requests_ == 0 && root_frame()) return {};
  const auto reading = reading_slots();
  const std::scoped_lock caching(caches_mutex_);
  if (take_request(Request::free_obsolete_roots)) {
    const auto held = vm_->exclusive();
    roots_.free_obsolete();
    if (!tdp_root_.usable()) tdp_root_ = TdpRootRef{};
    held.tdp().reap();
  }
  if (take_request(Request::sync)) sync_roots(/*earlier=*/false);
  const bool load = take_request(Request::load_root);
  if (load || !root_frame()) {
    if (auto stocked = stock(); !stocked) {
      request(Request::load_root);
      return stocked;
    }
    const auto held = vm_->exclusive();
    // Reclaim may zap a root that nobody uses, never one in use.
    auto loaded = held.mmu().make_available(FaultCaches::pages_per_fault);
    if (loaded) loaded = load_roots(held);
    if (!loaded) {
      request(Request::load_root);
      return loaded;
    }
    ++flushes_;
  }
  if (take_request(Request::flush_guest)) {
    sync_roots(/*earlier=*/true);
    ++flushes_;
  }
  return {};
}

Role Vcpu::root_role() const {
  Role role = base_;
  role.level = static_cast<std::uint8_t>(hardware_levels_);
  return role;
}

Expected<void> Vcpu::load_roots(const GuardedMmu::Exclusive& held) {
  const Role role = root_role();
  ShadowMmu& mmu = held.mmu();
  if (vm_->uses_tdp_mmu()) {
    if (tdp_root_.usable() && tdp_root_.page().role == role) return {};
    auto root = held.tdp().root(caches_.pages, role);
    if (!root) return fail(root.error());
    tdp_root_ = std::move(*root);
    return {};
  }
  if (role.direct) {
    if (roots_.switch_to(0, role)) return {};
    auto page = mmu.get_direct(caches_.pages, 0, role);
    if (!page) return fail(page.error());
    roots_.set(mmu.root(**page), 0);
    return {};
  }
  const PagingMode mode = state_.paging.mode;
  if (mode == PagingMode::bits32 || mode == PagingMode::pae) {
    return roots_.load_quartered(caches_.pages);
  }
  if (roots_.switch_to(state_.cr3, role)) return {};
  const Gpa table = state_.cr3 & entry::address;
  // KVM since 6.5 enters on a dummy root if CR3 points to no memory.
  if (!vm_->place(table)) return {};
  FaultContext with = context();
  auto page = mmu.get_shadow(with, gpa_to_gfn(table), role);
  if (!page) return fail(page.error());
  roots_.set(mmu.root(**page), state_.cr3);
  // What is below may lag behind: a new root starts from the truth.
  mmu.sync_tree(with, **page);
  return {};
}

Expected<void> Vcpu::load_quarter(ShadowMmu& mmu, Gva gva) {
  const auto quarter = static_cast<unsigned>(quadrant_of_address<std::uint64_t>(gva, 2));
  const bool lost = base_.has_4_byte_gpte && mutant(Mutant::quadrant_lost);
  const Role role =
      impl::child_role(base_, {.level = 2,
                               .direct = base_.direct,
                               .access = base_.access,
                               .quadrant = static_cast<std::uint8_t>(lost ? 0 : quarter)});
  const std::uint64_t table = role.has_4_byte_gpte ? state_.cr3 & entry::address32
                                                   : state_.pdptes[quarter] & entry::address;
  FaultContext with = context();
  auto page = mmu.get_shadow(with, gpa_to_gfn(table), role);
  if (!page) return fail(page.error());
  roots_.set_quarter(quarter, mmu.root(**page));
  mmu.sync_tree(with, **page);
  return {};
}

void Vcpu::sync_roots(bool earlier) {
  if (direct() || mutant(Mutant::cr3_does_not_sync)) return;
  const auto held = vm_->exclusive();
  FaultContext with = context();
  roots_.each(earlier, [&](ShadowPage& root) { held.mmu().sync_tree(with, root); });
}

void Vcpu::unload() {
  const auto reading = reading_slots();
  const std::scoped_lock caching(caches_mutex_);
  const auto held = vm_->exclusive();
  roots_.clear();
  tdp_root_ = TdpRootRef{};
  held.tdp().reap();
  caches_.empty();
  request(Request::load_root);
}

}  // namespace lockstep::impl
