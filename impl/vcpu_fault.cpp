// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: page faults, up to what is to be mapped.
#include "impl/fault_steps.h"
#include "impl/mutants.h"
#include "impl/spte.h"
#include "impl/vcpu.h"
#include "impl/wp_exchange.h"

namespace lockstep::impl {

namespace {

/// exchange_for_wp(), or one of its defects.
Rights exchanged(Rights access, bool smep) {
  const auto now = static_cast<Rights>(
      exchange_for_wp<std::uint64_t>(access, smep && !mutant(Mutant::wp0_leaves_exec)));
  return mutant(Mutant::wp0_leaves_user) ? now | (access & rights::user) : now;
}

/// Rings remember no pages: every write access is the one to log.
bool must_stay_clean(const MemorySlot& slot, Gfn gfn, AccessKind kind) {
  return impl::must_stay_clean<bool>(slot.log, kind == AccessKind::write, slot.is_dirty(gfn));
}

Rights without_write(Rights access) { return access & static_cast<Rights>(~rights::writable); }

}  // namespace

// MMIO.

void Vcpu::cache_mmio(std::optional<Gva> page, Gfn gfn, Rights access) {
  const std::uint64_t generation = vm_->slots().generation();
  if ((generation & SlotTable::in_progress) != 0) return;
  mmio_ = {.page = page, .gfn = gfn, .access = access, .generation = generation};
}

/// KVM: vcpu_match_mmio_gen().
bool Vcpu::mmio_cached(const MmioCache& cache) const {
  return cache.generation == vm_->slots().generation() || mutant(Mutant::mmio_generation_ignored);
}

/// The last SPTE of the address that the tables have now, without any lock.
std::optional<std::uint64_t> Vcpu::lockless_spte(std::uint64_t address, unsigned& level) const {
  const ShadowPage* page = nullptr;
  if (vm_->uses_tdp_mmu()) {
    page = tdp_root_.usable() ? &tdp_root_.page() : nullptr;
  } else {
    page = roots_.start(direct() ? 0 : address);
  }
  while (page != nullptr) {
    level = page->role.level;
    const std::uint64_t spte = page->spte(spte_index(address, level));
    if (!spte_present(spte) || spte_leaf(spte, level)) return spte;
    page = vm_->arena().find(spte_frame(spte));
  }
  return std::nullopt;
}

/// A fault on an entry with a reserved bit: MMIO, if the entry is of this
/// generation. None if it must be handled like any other fault.
/// KVM: handle_mmio_page_fault().
std::optional<FaultOutcome> Vcpu::mmio_fault(std::uint64_t address, bool is_gpa) {
  const bool same = is_gpa ? !mmio_.page && mmio_.gfn == gpa_to_gfn(address)
                           : mmio_.page == (address & page_mask);
  if (same && mmio_cached(mmio_)) return NeedsEmulation{};
  const Walkers::Walk walking(vm_->walkers(), number_);
  // Before the SPTE: the swap that wraps zaps it before its generation can be seen.
  const std::uint64_t generation = vm_->slots().generation();
  unsigned level = 0;
  const auto spte = lockless_spte(address, level);
  if (!spte || !is_mmio_spte(*spte)) return Fixed{};  // zapped meanwhile
  if (!mmio_current(*spte, generation) && !mutant(Mutant::mmio_generation_ignored)) {
    ++events_.mmio_stale;
    return std::nullopt;
  }
  ++events_.mmio_cached;
  const Gfn cut = mutant(Mutant::mmio_gfn_cut) ? (1ull << (32 - page_shift)) - 1 : ~0ull;
  cache_mmio(is_gpa ? std::nullopt : std::optional<Gva>(address & page_mask), mmio_gfn(*spte) & cut,
             mmio_rights(*spte));
  return NeedsEmulation{};
}

FaultOutcome Vcpu::no_slot(const GuestWalk* walk, Gva gva, Gpa gpa) {
  const Gfn gfn = gpa_to_gfn(gpa);
  const std::uint64_t leaf = walk != nullptr ? walk->entry[walk->leaf_level] : entry::dirty;
  // A write must still mark an entry that is clean. Direct pages above the entry have
  // execution in their role, which the entry has no room for.
  const auto access = static_cast<Rights>(
      rights_if_clean<std::uint64_t>(walk != nullptr ? walk->access : rights::all, leaf));
  const bool linear = walk != nullptr && shadow_paging();
  cache_mmio(linear ? std::optional<Gva>(gva & page_mask) : std::nullopt, gfn,
             static_cast<Rights>(mmio_access<std::uint64_t>(access)));
  if (gfn >= mmio::end_gfn || !root_frame()) return NeedsEmulation{};
  if (auto stocked = stock(); !stocked) return RunError{stocked.error()};
  const Target target{.gfn = gfn, .access = access};
  if (vm_->uses_tdp_mmu()) {
    const auto held = vm_->shared();
    if (tdp_root_.usable()) {
      const auto mapped = held.tdp().map_mmio(caches_, tdp_root_.page(), gfn);
      if (!mapped) return RunError{mapped.error()};
    }
    return NeedsEmulation{};
  }
  const auto held = vm_->exclusive();
  if (auto room = held.mmu().make_available(FaultCaches::pages_per_fault); !room) {
    return RunError{room.error()};
  }
  if (!roots_.frame()) return NeedsEmulation{};
  const auto installed = walk != nullptr ? install(held.mmu(), *walk, gva, target)
                                         : install_direct(held.mmu(), target);
  if (!installed) return RunError{installed.error()};
  return NeedsEmulation{};
}

// Faults.

/// The guest gets a #PF: what its tables forbid, no entry of ours may grant.
/// KVM: kvm_inject_emulated_page_fault().
void Vcpu::injected(Gva gva, std::uint32_t code) {
  if (direct() || (code & fault::present) == 0 || (code & fault::reserved) != 0) return;
  // KVM: vcpu_clear_mmio_info() in __kvm_mmu_invalidate_addr().
  if (mmio_.page == (gva & page_mask) && !mutant(Mutant::fault_keeps_mmio_address)) {
    mmio_.page.reset();
  }
  const auto held = vm_->exclusive();
  if (ShadowPage* root = roots_.start(gva)) held.mmu().invalidate_address(*root, gva);
}

FaultOutcome Vcpu::page_fault(Gva gva, const GuestAccess& access, bool reserved) {
  const auto reading = reading_slots();
  if (state_.paging.mode == PagingMode::none) return direct_fault(gva, access.kind, reserved);
  const std::scoped_lock caching(caches_mutex_);
  if (reserved) {
    if (auto outcome = mmio_fault(gva, /*is_gpa=*/false)) return *outcome;
  }
  GuestWalk walked = walk(gva, access);
  if (!walked.ok) {
    injected(gva, walked.code);
    return InjectPageFault{walked.code};
  }
  const Gfn gfn = gpa_to_gfn(walked.gpa);
  const std::uint64_t invalidations = vm_->invalidations();
  MemorySlot* slot = vm_->slots().by_gfn(gfn);
  if (slot == nullptr) return no_slot(&walked, gva, walked.gpa);
  // The walk has refuted what the cache says of this page.
  if (mmio_.page == (gva & page_mask)) mmio_.page.reset();
  if (slot->invalid) return Fixed{};  // about to go: try again
  const bool write = access.kind == AccessKind::write;
  if (must_emulate(write, slot->read_only, slot->is_tracked(gfn))) return NeedsEmulation{};
  const Vm::Place place = vm_->place(walked.gpa);
  if (!place && slot->invalid) return Fixed{};
  if (!place) return RunError{Error::bad_address};
  // KVM: kvm_handle_error_pfn(), in 6.1 kvm_handle_bad_page().
  const bool refused = vm_->host_protects(place.hva) && !mutant(Mutant::host_protection_ignored);
  if (write && refused) return RunError{Error::bad_address};
  if (auto stocked = stock(); !stocked) return RunError{stocked.error()};

  Rights leaf = walked.access;
  // The walk of a write has set the dirty flag, where the table may be written.
  if (!write && !mutant(Mutant::clean_entry_writable)) {
    leaf =
        static_cast<Rights>(rights_if_clean<std::uint64_t>(leaf, walked.entry[walked.leaf_level]));
  }
  if (must_stay_clean(*slot, gfn, access.kind)) leaf = without_write(leaf);
  if (needs_exchange<std::uint64_t>(leaf, write)) {
    leaf = exchanged(leaf, state_.paging.control.has(ControlBit::cr4_smep));
  }
  const Target target{.slot = slot,
                      .gfn = gfn,
                      .hva = place.hva & page_mask,
                      .access = leaf,
                      .kind = access.kind,
                      .invalidations = invalidations,
                      .host_writable = !refused};
  const auto held = vm_->exclusive();
  // The next entry finds a root; the next look, pages that stay.
  if (!roots_.frame() || vm_->must_retry(invalidations, target.hva)) return Fixed{};
  if (auto room = held.mmu().make_available(FaultCaches::pages_per_fault); !room) {
    return RunError{room.error()};
  }
  const auto installed = install(held.mmu(), walked, gva, target);
  if (!installed) return RunError{installed.error()};
  // One of the tables just shadowed may be the page that is written.
  if (write && *installed == Installed::write_denied) return NeedsEmulation{};
  return Fixed{};
}

FaultOutcome Vcpu::tdp_fault(Gpa gpa, AccessKind kind, bool reserved) {
  const auto reading = reading_slots();
  return direct_fault(gpa, kind, reserved);
}

FaultOutcome Vcpu::direct_fault(Gpa gpa, AccessKind kind, bool reserved) {
  const std::scoped_lock caching(caches_mutex_);
  if (reserved) {
    if (auto outcome = mmio_fault(gpa, /*is_gpa=*/true)) return *outcome;
  }
  const Gfn gfn = gpa_to_gfn(gpa);
  const std::uint64_t invalidations = vm_->invalidations();
  MemorySlot* slot = vm_->slots().by_gfn(gfn);
  if (slot == nullptr) return no_slot(nullptr, 0, gpa);
  if (slot->invalid) return Fixed{};
  const bool write = kind == AccessKind::write;
  if (must_emulate(write, slot->read_only, slot->is_tracked(gfn))) return NeedsEmulation{};
  const Vm::Place place = vm_->place(gpa);
  if (!place && slot->invalid) return Fixed{};
  if (!place) return RunError{Error::bad_address};
  if (!reserved && fast_fault(gpa, kind)) return Fixed{};
  const bool refused = vm_->host_protects(place.hva) && !mutant(Mutant::host_protection_ignored);
  if (write && refused) return RunError{Error::bad_address};
  if (auto stocked = stock(); !stocked) return RunError{stocked.error()};
  Rights access = rights::all;
  if (must_stay_clean(*slot, gfn, kind)) access = without_write(access);
  const Target target{.slot = slot,
                      .gfn = gfn,
                      .hva = place.hva & page_mask,
                      .access = access,
                      .kind = kind,
                      .invalidations = invalidations,
                      .host_writable = !refused};
  Expected<Installed> installed = Installed::retry;
  if (vm_->uses_tdp_mmu()) {
    const auto held = vm_->shared();
    if (!tdp_root_.usable() || vm_->must_retry(invalidations, target.hva)) return Fixed{};
    installed = install_tdp(held.tdp(), target);
  } else {
    const auto held = vm_->exclusive();
    if (!roots_.frame() || vm_->must_retry(invalidations, target.hva)) return Fixed{};
    if (auto room = held.mmu().make_available(FaultCaches::pages_per_fault); !room) {
      return RunError{room.error()};
    }
    installed = install_direct(held.mmu(), target);
  }
  if (!installed) return RunError{installed.error()};
  if (write && *installed == Installed::write_denied) return NeedsEmulation{};
  return Fixed{};
}

/// Write access that only the dirty log took away comes back without the lock.
/// KVM: fast_page_fault().
bool Vcpu::fast_fault(Gpa gpa, AccessKind kind) {
  if (kind != AccessKind::write || !direct()) return false;
  const Walkers::Walk walking(vm_->walkers(), number_);
  ShadowPage* page = nullptr;
  if (vm_->uses_tdp_mmu()) {
    page = tdp_root_.usable() ? &tdp_root_.page() : nullptr;
  } else {
    page = roots_.start(0);
  }
  while (page != nullptr) {
    const unsigned level = page->role.level;
    const unsigned entry = spte_index(gpa, level);
    std::uint64_t spte = page->spte(entry);
    if (!spte_present(spte)) return false;
    if (!spte_leaf(spte, level)) {
      page = vm_->arena().find(spte_frame(spte));
      continue;
    }
    MemorySlot* slot = vm_->slots().by_gfn(gpa_to_gfn(gpa));
    if (slot == nullptr || !may_restore_write(spte)) return false;
    // A huge leaf has one bit for many pages.
    if (level > 1 && slot->log && !mutant(Mutant::huge_write_logged_as_one)) return false;
    const std::uint64_t now = with_write(spte);
    schedule::announce(slot->dirty_tag, schedule::Access::update);
    if (!page->exchange(entry, spte, now)) return false;
    schedule::announce(slot->dirty_tag, schedule::Access::update);
    if (!mutant(Mutant::fast_fault_not_logged)) dirty_.mark(*slot, gpa_to_gfn(gpa));
    ++events_.fast;
    return true;
  }
  return false;
}

}  // namespace lockstep::impl
