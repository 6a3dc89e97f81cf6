// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: page faults on shadow and direct tables.
#include "impl/spte.h"
#include "impl/vcpu.h"
#include "impl/wp_exchange.h"

namespace lockstep::impl {

namespace {

unsigned shadow_index(Gva gva, unsigned level) {
  return static_cast<unsigned>(gva >> (page_shift + 9 * (level - 1))) & 511u;
}

Gfn level_base(Gfn gfn, unsigned level) { return gfn & ~((1ull << (9 * level)) - 1); }

/// Reads of a clean page in a logged slot map it read-only: the write that
/// follows is the one to log.
bool must_stay_clean(const MemorySlot& slot, Gfn gfn, AccessKind kind) {
  return slot.log && kind != AccessKind::write && !slot.is_dirty(gfn);
}

Rights without_write(Rights access) { return access & static_cast<Rights>(~rights::writable); }

}  // namespace

Expected<ShadowPage*> Vcpu::descend(ShadowPage& from, unsigned entry, Gfn gfn, const Role& role) {
  ShadowMmu& mmu = vm_->mmu();
  if (from.present(entry)) {
    ShadowPage& below = mmu.child(from, entry);
    if (below.gfn == gfn && below.role == role) return &below;
  }
  auto page = mmu.get_page(cache_, gfn, role);
  if (page) mmu.link(from, entry, **page);
  return page;
}

Role Vcpu::child_role(const GuestWalk& walk, unsigned level, Gva gva, Rights leaf_access) const {
  Role role = base_;
  role.level = static_cast<std::uint8_t>(level);
  role.direct = level < walk.leaf_level;
  role.access = role.direct ? leaf_access : walk.rights_through[level + 1];
  if (role.direct) {
    role.has_4_byte_gpte = false;
  } else if (role.has_4_byte_gpte) {
    role.quadrant = static_cast<std::uint8_t>((gva >> 21) & 1);
  }
  return role;
}

Expected<bool> Vcpu::install(const GuestWalk& walk, Gva gva, MemorySlot& slot, Rights access) {
  if (roots_.start(gva) == nullptr) {
    if (auto loaded = load_quarter(gva); !loaded) return fail(loaded.error());
  }
  ShadowPage* page = roots_.start(gva);
  const Gfn gfn = gpa_to_gfn(walk.gpa);
  for (unsigned level = page->role.level; level > 1; --level) {
    const Role role = child_role(walk, level - 1, gva, access);
    const Gfn below =
        role.direct ? level_base(gfn, level - 1) : gpa_to_gfn(walk.entry_gpa[level - 1]);
    auto next = descend(*page, shadow_index(gva, level), below, role);
    if (!next) return fail(next.error());
    page = *next;
  }
  return spte_writable(vm_->mmu().map(*page, shadow_index(gva, 1), slot, gfn, access));
}

Expected<bool> Vcpu::install_direct(Gpa gpa, MemorySlot& slot, Rights access) {
  ShadowPage* page = roots_.start(0);
  const Gfn gfn = gpa_to_gfn(gpa);
  for (unsigned level = page->role.level; level > 1; --level) {
    Role role = base_;
    role.level = static_cast<std::uint8_t>(level - 1);
    auto next = descend(*page, shadow_index(gpa, level), level_base(gfn, level - 1), role);
    if (!next) return fail(next.error());
    page = *next;
  }
  return spte_writable(vm_->mmu().map(*page, shadow_index(gpa, 1), slot, gfn, access));
}

FaultOutcome Vcpu::page_fault(Gva gva, const GuestAccess& access) {
  if (state_.paging.mode == PagingMode::none) return direct_fault(gva, access.kind);
  GuestWalk walked = walk(gva, access);
  if (!walked.ok) return InjectPageFault{walked.code};

  const Gfn gfn = gpa_to_gfn(walked.gpa);
  MemorySlot* slot = vm_->slots().by_gfn(gfn);
  if (slot == nullptr) return NeedsEmulation{};
  const bool write = access.kind == AccessKind::write;
  if (write && (slot->read_only || slot->is_tracked(gfn))) return NeedsEmulation{};
  const Vm::Place place = vm_->place(walked.gpa);
  if (!place) return RunError{Error::bad_address};
  // KVM: kvm_handle_error_pfn().
  const bool refused = vm_->host_protects(place.hva);
  if (write && refused) return RunError{Error::bad_address};
  if (auto stocked = stock(); !stocked) return RunError{stocked.error()};
  if (!roots_.frame()) return Fixed{};  // the next entry finds one

  Rights leaf = walked.access;
  const bool clean = (walked.entry[walked.leaf_level] & entry::dirty) == 0;
  if (!write && (refused || clean || must_stay_clean(*slot, gfn, access.kind)))
    leaf = without_write(leaf);
  if (write && (leaf & rights::writable) == 0) {
    leaf = static_cast<Rights>(
        exchange_for_wp<std::uint64_t>(leaf, state_.paging.control.has(ControlBit::cr4_smep)));
  }
  const auto writable = install(walked, gva, *slot, leaf);
  if (!writable) return RunError{writable.error()};
  // One of the tables just shadowed may be the page that is written.
  if (write && !*writable) return NeedsEmulation{};
  return Fixed{};
}

FaultOutcome Vcpu::tdp_fault(Gpa gpa, AccessKind kind) { return direct_fault(gpa, kind); }

FaultOutcome Vcpu::direct_fault(Gpa gpa, AccessKind kind) {
  const Gfn gfn = gpa_to_gfn(gpa);
  MemorySlot* slot = vm_->slots().by_gfn(gfn);
  if (slot == nullptr) return NeedsEmulation{};
  const bool write = kind == AccessKind::write;
  if (write && (slot->read_only || slot->is_tracked(gfn))) return NeedsEmulation{};
  const Vm::Place place = vm_->place(gpa);
  if (!place) return RunError{Error::bad_address};
  const bool refused = vm_->host_protects(place.hva);
  if (write && refused) return RunError{Error::bad_address};
  if (auto stocked = stock(); !stocked) return RunError{stocked.error()};
  if (!roots_.frame()) return Fixed{};  // the next entry finds one
  Rights access = rights::all;
  if (refused || must_stay_clean(*slot, gfn, kind)) access = without_write(access);
  const auto writable = install_direct(gpa, *slot, access);
  if (!writable) return RunError{writable.error()};
  return Fixed{};
}

}  // namespace lockstep::impl
