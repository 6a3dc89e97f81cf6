// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/vm.h"

#include <algorithm>
#include <bit>

namespace lockstep::impl {

Vm::Vm(HostMemory memory, TableArena& arena, const VmSettings& settings)
    : memory_(memory),
      settings_(settings),
      slots_(settings.slot_limits),
      mmu_(slots_, arena, settings.shadow_page_limit) {}

Vm::~Vm() { mmu_.zap_all(); }

Vm::Place Vm::place(Gpa gpa) {
  MemorySlot* slot = slots_.by_gfn(gpa_to_gfn(gpa));
  if (slot == nullptr) return {};
  const Hva hva = slot->hva_of(gpa);
  if (!memory_.contains(hva & page_mask, page_size)) return {};
  return {slot, hva};
}

Vm::Store Vm::guest_store(Gpa gpa, unsigned size, std::uint64_t value) {
  const Place at = place(gpa);
  if (!at || at.slot->read_only || host_protects(at.hva)) return Store::mmio;
  const Gfn gfn = gpa_to_gfn(gpa);
  memory_.store(at.hva, size, value);
  at.slot->mark_dirty(gfn);
  if (at.slot->is_tracked(gfn)) {
    ++tracked_stores_;
    mmu_.guest_wrote(gpa, size);
  }
  return Store::done;
}

Expected<void> Vm::set_memory_region(const MemoryRegion& region) {
  const auto change = slots_.classify(region);
  if (!change) return fail(change.error());
  switch (*change) {
    case SlotChange::nothing:
      return {};
    case SlotChange::create:
      return create(region);
    case SlotChange::remove:
      remove(region.id);
      return {};
    case SlotChange::move:
      return move(region);
    case SlotChange::flags:
      return change_flags(region);
  }
  return {};
}

Expected<void> Vm::create(const MemoryRegion& region) {
  auto slot = std::make_unique<MemorySlot>();
  slot->id = static_cast<unsigned>(region.id);
  slot->base = gpa_to_gfn(region.gpa);
  slot->pages = region.size >> page_shift;
  slot->hva = region.hva;
  slot->read_only = region.read_only;
  if (auto made = allocate_metadata(*slot); !made) return made;
  if (auto logging = set_logging(*slot, region.log); !logging) return logging;
  slots_.insert(std::move(slot));
  return {};
}

void Vm::remove(std::uint64_t id) {
  // Nothing may refer to the slot when it goes. KVM: kvm_arch_flush_shadow_memslot().
  mmu_.zap_all();
  slots_.extract(id).reset();
}

Expected<void> Vm::move(const MemoryRegion& region) {
  mmu_.zap_all();
  std::unique_ptr<MemorySlot> slot = slots_.extract(region.id);
  // The dirty bitmap moves along; rmaps and tracking are empty after the zap.
  auto logging = set_logging(*slot, region.log);
  if (logging) slot->base = gpa_to_gfn(region.gpa);
  slots_.insert(std::move(slot));
  return logging;
}

Expected<void> Vm::change_flags(const MemoryRegion& region) {
  MemorySlot& slot = *slots_.by_id(region.id);
  if (auto logging = set_logging(slot, region.log); !logging) return logging;
  const bool all_set = settings_.dirty_log == DirtyLogMode::manual_all_set;
  if (region.log && !slot.read_only && !all_set) protect_slot(slot);
  return {};
}

Expected<void> Vm::set_logging(MemorySlot& slot, bool log) {
  if (!log) {
    slot.dirty.reset();
  } else if (!slot.dirty) {
    const bool all_set = settings_.dirty_log == DirtyLogMode::manual_all_set;
    if (auto made = allocate_dirty_bitmap(slot, all_set); !made) return made;
  }
  slot.log = log;
  return {};
}

void Vm::protect_slot(MemorySlot& slot) {
  for (Gfn gfn = slot.base; gfn < slot.base + slot.pages; ++gfn) mmu_.write_protect(slot, gfn);
  mmu_.request_flush();
}

bool Vm::protect_word(MemorySlot& slot, std::uint64_t word, std::uint64_t mask) {
  const std::uint64_t cleared = slot.dirty[word] & mask;
  slot.dirty[word] &= ~mask;
  for (std::uint64_t bits = cleared; bits != 0; bits &= bits - 1) {
    mmu_.write_protect(slot, slot.base + word * 64 + static_cast<unsigned>(std::countr_zero(bits)));
  }
  return cleared != 0;
}

Expected<Vm::DirtyLog> Vm::get_dirty_log(std::uint64_t id) {
  if (id >= settings_.slot_limits.slots) return fail(Error::invalid);
  MemorySlot* slot = slots_.by_id(id);
  if (slot == nullptr || !slot->dirty) return fail(Error::no_entry);
  DirtyLog log{.pages = slot->pages, .words = {}};
  log.words.reserve(slot->dirty_words());
  for (std::uint64_t word = 0; word < slot->dirty_words(); ++word) {
    log.words.push_back(slot->dirty[word]);
  }
  if (settings_.dirty_log != DirtyLogMode::plain) return log;
  bool flush = false;
  for (std::uint64_t word = 0; word < slot->dirty_words(); ++word) {
    flush |= protect_word(*slot, word, ~0ull);
  }
  if (flush) mmu_.request_flush();
  return log;
}

Expected<void> Vm::clear_dirty_log(std::uint64_t id, std::uint64_t first, std::uint32_t count) {
  if (id >= settings_.slot_limits.slots || first % 64 != 0) return fail(Error::invalid);
  MemorySlot* slot = slots_.by_id(id);
  if (slot == nullptr || !slot->dirty) return fail(Error::no_entry);
  const bool to_end = first <= slot->pages && count == slot->pages - first;
  if (first > slot->pages || count > slot->pages - first || (!to_end && count % 64 != 0)) {
    return fail(Error::invalid);
  }
  bool flush = false;
  const std::uint64_t first_word = first / 64;
  for (std::uint64_t word = first_word; word < first_word + (count + 63ull) / 64; ++word) {
    flush |= protect_word(*slot, word, ~0ull);
  }
  if (flush) mmu_.request_flush();
  return {};
}

void Vm::unmap_host(Hva hva, std::uint64_t size) {
  for (const auto& slot : slots_.all()) {
    const Hva first = std::max(hva, slot->hva);
    const Hva end = std::min(hva + size, slot->hva + (slot->pages << page_shift));
    for (Hva at = first; at < end; at += page_size) {
      host_unmapped_ += mmu_.unmap(*slot, slot->base + gpa_to_gfn(at - slot->hva));
    }
  }
}

void Vm::protect_host(Hva hva, std::uint64_t size, bool on) {
  const Hfn first = hva >> page_shift;
  const Hfn end = first + (size >> page_shift);
  if (host_protected_.size() < end) host_protected_.resize(end);
  for (Hfn page = first; page < end; ++page) host_protected_[page] = on;
  // What was mapped read-only for a protected page stays: its next write faults.
  if (on) unmap_host(hva, size);
}

Expected<void> Vm::set_page_limit(std::uint64_t pages) {
  constexpr std::uint64_t least = 64;  // KVM_MIN_ALLOC_MMU_PAGES
  if (pages < least) return fail(Error::invalid);
  mmu_.set_page_limit(pages);
  return {};
}

}  // namespace lockstep::impl
