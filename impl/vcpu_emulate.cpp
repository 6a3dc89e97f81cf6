// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: guest walks over guest memory, and accesses done in software.
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
  place.slot->mark_dirty(gpa_to_gfn(at));
  return true;
}

Emulated Vcpu::emulate(Gva gva, const GuestAccess& access, unsigned size, std::uint64_t value) {
  Gpa gpa = gva;
  if (state_.paging.mode != PagingMode::none) {
    const GuestWalk walked = walk(gva, access);
    if (!walked.ok) return InjectPageFault{walked.code};
    gpa = walked.gpa;
  }
  if (access.kind == AccessKind::write) {
    if (vm_->guest_store(gpa, size, value) == Vm::Store::mmio) return MmioExit{gpa};
    return Stored{};
  }
  const Vm::Place place = vm_->place(gpa);
  if (!place) return MmioExit{gpa};
  return Loaded{vm_->memory().load(place.hva, size)};
}

std::optional<Gpa> Vcpu::translate(Gva gva) {
  if (state_.paging.mode == PagingMode::none) return gva;
  const GuestAccess supervisor_read{.kind = AccessKind::read, .cpl = Cpl::supervisor};
  const GuestWalk walked = walk(gva, supervisor_read);
  if (!walked.ok) return std::nullopt;
  return walked.gpa;
}

}  // namespace lockstep::impl
