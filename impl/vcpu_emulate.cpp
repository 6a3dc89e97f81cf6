// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: guest walks over guest memory, and accesses done in software.
#include "impl/fault_steps.h"
#include "impl/mutants.h"
#include "impl/vcpu.h"

namespace lockstep::impl {

GuestWalk Vcpu::walk(Gva gva, const GuestAccess& access) {
  const WalkRoot root{.table = state_.cr3, .pdptes = state_.pdptes};
  const auto read = [this](Gpa at, unsigned bytes, std::uint64_t& value) {
    const Vm::Place place = vm_->place(at);
    if (!place) return false;
    value = vm_->memory().load(place.hva, bytes);
    return true;
  };
  GuestWalk walked = walk_guest(tables_, root, gva, access, state_.pkru, read);
  if (walked.ok) set_accessed_dirty(walked, access.kind == AccessKind::write);
  return walked;
}

void Vcpu::set_accessed_dirty(GuestWalk& walk, bool write) {
  for (unsigned level = walk.leaf_level; level <= tables_.root; ++level) {
    const std::uint64_t wanted =
        entry::accessed | (write && level == walk.leaf_level ? entry::dirty : 0);
    if ((walk.entry[level] & wanted) == wanted) continue;
    if (set_entry_bits(walk.entry_gpa[level], wanted)) walk.entry[level] |= wanted;
  }
}

/// Read-only slots keep their entries. KVM: FNAME(update_accessed_dirty_bits)().
bool Vcpu::set_entry_bits(Gpa at, std::uint64_t bits) {
  const Vm::Place place = vm_->place(at);
  if (!place || place.slot->read_only || vm_->host_protects(place.hva)) return false;
  // Accessed and dirty stand in the first byte of an entry of either size.
  HostMemory& memory = vm_->memory();
  memory.store(place.hva, 1, memory.load(place.hva, 1) | bits);
  if (!mutant(Mutant::guest_flags_not_logged)) dirty_.mark(*place.slot, gpa_to_gfn(at));
  return true;
}

Emulated Vcpu::emulate(Gva gva, const GuestAccess& access, unsigned size, std::uint64_t value) {
  const auto reading = reading_slots();
  Gpa gpa = gva;
  const bool write = access.kind == AccessKind::write;
  if (state_.paging.mode != PagingMode::none) {
    const bool cached = mmio_cached(mmio_) && mmio_.page == (gva & page_mask) &&
                        access.kind != AccessKind::fetch &&
                        detail::permission_code(tables_, access, mmio_.access, 0, 0) == 0;
    if (cached) {
      gpa = gfn_to_gpa(mmio_.gfn) | (gva & ~page_mask);
    } else {
      const GuestWalk walked = walk(gva, access);
      if (!walked.ok) {
        injected(gva, walked.code);
        return InjectPageFault{walked.code};
      }
      gpa = walked.gpa;
    }
  }
  if (write) {
    if (vm_->guest_store(gpa, size, value, dirty_) == Vm::Store::mmio) return MmioExit{gpa};
    return Stored{};
  }
  const Vm::Place place = vm_->place(gpa);
  if (!place) return MmioExit{gpa};
  return Loaded{vm_->memory().load(place.hva, size)};
}

Vcpu::Window Vcpu::window_store(Gpa gpa, unsigned size, std::uint64_t value) {
  const auto reading = reading_slots();
  const Vm::Place at = vm_->place(gpa);
  if (!at || at.slot->read_only) return Window::mmio;
  const Gfn gfn = gpa_to_gfn(gpa);
  const bool refused = vm_->host_protects(at.hva);
  bool plain = direct() && !at.slot->is_tracked(gfn);
  if (!plain && !refused) {
    const auto held = vm_->exclusive();
    plain = mutant(Mutant::table_not_write_protected) ||
            held.mmu().try_to_unsync(*at.slot, gfn, /*can_unsync=*/true, /*prefetch=*/false);
  }
  if (!plain) {
    if (refused && !at.slot->is_tracked(gfn)) return Window::refused;
    const bool stored = vm_->guest_store(gpa, size, value, dirty_) == Vm::Store::done;
    return stored ? Window::done : Window::mmio;
  }
  if (refused) return Window::refused;
  vm_->memory().store(at.hva, size, value);
  dirty_.mark(*at.slot, gfn);
  return Window::done;
}

bool Vcpu::can_judge(const Role& role) const {
  Role wanted = base_;
  wanted.level = role.level;
  wanted.quadrant = role.quadrant;
  wanted.access = role.access;
  return wanted == role;
}

/// FNAME(sync_page): an entry that was never used for an access, or that is not
/// dirty, grants no more than a walk would have given it.
std::optional<GuestLeaf> Vcpu::leaf(const ShadowPage& page, unsigned entry) {
  const unsigned bytes = tables_.entry_bytes;
  const Gpa at =
      gfn_to_gpa(page.gfn) + guest_index<std::uint64_t>(page.role.quadrant, entry) * bytes;
  const Vm::Place place = vm_->place(at);
  if (!place) return std::nullopt;
  const std::uint64_t value = vm_->memory().load(place.hva, bytes);
  if (!sync_usable(value, tables_.reserved[(value >> 7) & 1][1])) return std::nullopt;
  Rights access = detail::rights_of(tables_, value);
  if (!mutant(Mutant::clean_entry_writable)) {
    access = static_cast<Rights>(rights_if_clean<std::uint64_t>(access, value));
  }
  return GuestLeaf{gpa_to_gfn(value & tables_.address_mask), access};
}

std::optional<Gpa> Vcpu::translate(Gva gva) {
  const auto reading = reading_slots();
  if (state_.paging.mode == PagingMode::none) return gva;
  const GuestAccess supervisor_read{.kind = AccessKind::read, .cpl = Cpl::supervisor};
  const GuestWalk walked = walk(gva, supervisor_read);
  if (!walked.ok) return std::nullopt;
  return walked.gpa;
}

}  // namespace lockstep::impl
