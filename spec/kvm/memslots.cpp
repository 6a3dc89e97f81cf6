// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/memslots.h"

#include <algorithm>

namespace lockstep::spec {
namespace {

/// KVM_MEM_MAX_NR_PAGES.
constexpr std::uint64_t max_pages = (1ull << 31) - 1;

bool aligned(std::uint64_t address) { return (address & (page_size - 1)) == 0; }

bool overlap(const Slot& slot, const UserSlots::Region& request) {
  return slot.gpa < request.gpa + request.size && request.gpa < slot.gpa + slot.size;
}

}  // namespace

Memslots::Answer Memslots::consider(const UserSlots::Region& request) const {
  const Answer invalid{SlotChange::none, EINVAL};
  if (!aligned(request.size) || !aligned(request.gpa) || !aligned(request.hva)) return invalid;
  if (request.gpa + request.size < request.gpa) return invalid;
  if (request.size >> page_shift > max_pages) return invalid;

  const Slot* old = find(request.id);
  if (request.size == 0) {
    return old == nullptr ? invalid : Answer{SlotChange::remove, 0};
  }

  SlotChange change = SlotChange::create;
  if (old != nullptr) {
    // Size, hva and read-only are fixed for the life of a slot.
    if (old->hva != request.hva || old->size != request.size ||
        old->read_only != request.read_only) {
      return invalid;
    }
    if (old->gpa != request.gpa) {
      change = SlotChange::move;
    } else if (old->log != request.log) {
      change = SlotChange::flags;
    } else {
      return {SlotChange::none, 0};
    }
  }

  if (change != SlotChange::flags) {
    for (const auto& [id, slot] : layouts_.back().slots) {
      if (id != request.id && overlap(slot, request)) return {SlotChange::none, EEXIST};
    }
    // kvm_arch_prepare_memory_region(): beyond what the MMU can map.
    if (gpa_to_gfn(request.gpa + request.size) - 1 > max_gfn_) return invalid;
  }
  return {change, 0};
}

void Memslots::apply(Moment now, const UserSlots::Region& request, SlotChange change) {
  if (change == SlotChange::none) return;
  Layout next = layouts_.back();
  next.since = now;
  if (change == SlotChange::remove) {
    next.slots.erase(request.id);
  } else {
    next.slots[request.id] = {request.gpa, request.size, request.hva, request.log,
                              request.read_only};
  }
  layouts_.push_back(std::move(next));
}

const Slot* Memslots::find(unsigned id) const {
  const auto& slots = layouts_.back().slots;
  const auto found = slots.find(id);
  return found == slots.end() ? nullptr : &found->second;
}

}  // namespace lockstep::spec
