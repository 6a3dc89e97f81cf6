// SPDX-License-Identifier: GPL-2.0-or-later
/// Vm: the dirty log, and the sizes of leaves that it wants.
#include <bit>

#include "impl/mutants.h"
#include "impl/vcpu.h"
#include "impl/vm.h"

namespace lockstep::impl {

/// Dirty bits that processors have set since, into the bitmap.
void Vm::harvest(MemorySlot& slot) {
  if (!settings_.dirty_bits || !slot.dirty) return;
  const auto held = exclusive();
  const Gfn end = slot.base + slot.pages;
  // As long as what is mapped, not as long as the slot.
  bool flush = held.tdp().take_dirty_bits(slot.base, end, [&](Gfn gfn) { slot.set_dirty(gfn); });
  for (Gfn gfn = slot.base; slot.has_rmaps() && gfn < end; ++gfn) {
    if (!held.mmu().take_dirty_bits(slot, gfn)) continue;
    slot.set_dirty(gfn);
    flush = true;
  }
  if (flush) held.mmu().request_flush();
}

/// Let the next store to the gfn be seen; true if TLBs must be told.
bool Vm::rearm(const GuardedMmu::Exclusive& held, MemorySlot& slot, Gfn gfn) {
  bool flush = false;
  if (settings_.dirty_bits) {
    flush = held.mmu().take_dirty_bits(slot, gfn);
    flush |= held.tdp().take_dirty_bits(gfn);
    return flush;
  }
  flush = held.mmu().write_protect(slot, gfn, 1, /*for_good=*/false);
  flush |= held.tdp().write_protect(gfn, gfn + 1, 1, /*for_good=*/false);
  return flush;
}

/// Huge leaves of the range become small ones, so that what follows is logged by
/// the page. KVM: kvm_mmu_try_split_huge_pages().
void Vm::split_slot(MemorySlot& slot, Gfn first, Gfn end) {
  for (;;) {
    // Nothing is allocated with the lock held: fill the caches, then look again.
    if (!split_pages_.topup(1) || !split_rmaps_.topup(split_minimum)) {
      return;  // faults split what is left
    }
    const auto held = exclusive();
    while (split_pages_.size() != 0 &&
           !needs_topup<std::size_t>(split_rmaps_.size(), split_minimum)) {
      const auto huge = held.mmu().huge_leaf(slot, first, end);
      if (!huge) {
        if (!held.tdp().split_range(split_pages_, first, end)) break;
        held.mmu().request_flush();
        return;
      }
      ShadowPage& page = arena().page(huge->page());
      if (!held.mmu().split(split_pages_, split_rmaps_, page, huge->entry())) return;
    }
  }
}

void Vm::protect_slot(MemorySlot& slot) {
  if (settings_.eager_page_split) split_slot(slot, slot.base, slot.base + slot.pages);
  const auto held = exclusive();
  bool flush = false;
  const Gfn end = slot.base + slot.pages;
  for (Gfn gfn = slot.base; slot.has_rmaps() && gfn < end; ++gfn) {
    if (settings_.dirty_bits) {
      // Huge leaves have one bit for all their pages: those are protected.
      flush |= held.mmu().take_dirty_bits(slot, gfn);
      flush |= held.mmu().write_protect(slot, gfn, 2, /*for_good=*/false);
    } else {
      flush |= held.mmu().write_protect(slot, gfn, 1, /*for_good=*/false);
    }
  }
  if (settings_.dirty_bits) {
    flush |= held.tdp().take_dirty_bits(slot.base, end, [](Gfn) {});
    flush |= held.tdp().write_protect(slot.base, end, 2, /*for_good=*/false);
  } else {
    flush |= held.tdp().write_protect(slot.base, end, 1, /*for_good=*/false);
  }
  if (flush) held.mmu().request_flush();
}

void Vm::collapse_slot(MemorySlot& slot) {
  const auto held = exclusive();
  const auto level = [&](Gfn gfn) { return mapping_level(slot, gfn, leaf_levels); };
  held.mmu().collapse(slot, level);
  held.tdp().collapse(slot, level);
}

bool Vm::protect_word(MemorySlot& slot, std::uint64_t word, std::uint64_t mask,
                      std::uint64_t& cleared) {
  schedule::announce(slot.dirty_tag, schedule::Access::update);
  cleared = std::atomic_ref(slot.dirty[word]).fetch_and(~mask, std::memory_order_acq_rel) & mask;
  if (cleared == 0) return false;
  bool flush = false;
  const Gfn first = slot.base + word * 64;
  if (settings_.dirty_log == DirtyLogMode::manual_all_set) {
    // No write protection happened when logging began, so huge leaves may be
    // writable still. KVM: kvm_arch_mmu_enable_log_dirty_pt_masked().
    const Gfn end = std::min(first + 64, slot.base + slot.pages);
    if (settings_.eager_page_split) split_slot(slot, first, end);
    const auto held = exclusive();
    flush |= held.mmu().write_protect(slot, first, 2, /*for_good=*/false);
    flush |= held.mmu().write_protect(slot, end - 1, 2, /*for_good=*/false);
    flush |= held.tdp().write_protect(first, end, 2, /*for_good=*/false);
  }
  const auto held = exclusive();
  for (std::uint64_t bits = cleared; bits != 0; bits &= bits - 1) {
    flush |= rearm(held, slot, first + static_cast<unsigned>(std::countr_zero(bits)));
  }
  return flush;
}

Expected<Vm::DirtyLog> Vm::get_dirty_log(std::uint64_t id) {
  if (settings_.dirty_log == DirtyLogMode::ring) return fail(Error::no_device);
  if (id >= settings_.slot_limits.slots) return fail(Error::invalid);
  MemorySlot* slot = slots_.by_id(id);
  if (slot == nullptr || !slot->dirty) return fail(Error::no_entry);
  harvest(*slot);
  DirtyLog log{.pages = slot->pages, .words = {}};
  const auto reserved = or_no_memory([&] { log.words.reserve(slot->dirty_words()); });
  if (!reserved) return fail(reserved.error());
  const bool keeps = settings_.dirty_log != DirtyLogMode::plain;
  const bool copies = keeps || mutant(Mutant::dirty_get_copies_first);
  for (std::uint64_t word = 0; copies && word < slot->dirty_words(); ++word) {
    schedule::announce(slot->dirty_tag, schedule::Access::read);
    log.words.push_back(slot->dirty[word]);
  }
  if (keeps) return log;
  bool flush = false;
  for (std::uint64_t word = 0; word < slot->dirty_words(); ++word) {
    // What is cleared is what is returned. KVM: xchg() in kvm_get_dirty_log_protect().
    std::uint64_t cleared = 0;
    flush |= protect_word(*slot, word, ~0ull, cleared);
    if (!copies) log.words.push_back(cleared);
  }
  if (flush && !mutant(Mutant::dirty_get_without_flush)) exclusive().mmu().request_flush();
  return log;
}

Expected<void> Vm::clear_dirty_log(std::uint64_t id, std::uint64_t first, std::uint32_t count) {
  if (settings_.dirty_log == DirtyLogMode::ring) return fail(Error::no_device);
  if (id >= settings_.slot_limits.slots || first % 64 != 0) return fail(Error::invalid);
  MemorySlot* slot = slots_.by_id(id);
  if (slot == nullptr || !slot->dirty) return fail(Error::no_entry);
  const bool to_end = first <= slot->pages && count == slot->pages - first;
  if (first > slot->pages || count > slot->pages - first || (!to_end && count % 64 != 0)) {
    return fail(Error::invalid);
  }
  // Bits that processors have set since count as set before. KVM: kvm_arch_sync_dirty_log().
  harvest(*slot);
  bool flush = false;
  std::uint64_t cleared = 0;
  const std::uint64_t first_word = first / 64;
  for (std::uint64_t word = first_word; word < first_word + (count + 63ull) / 64; ++word) {
    if (mutant(Mutant::dirty_clear_half)) {
      flush |= protect_word(*slot, word, 0xffff'ffffull, cleared);
      slot->dirty[word] = 0;
      continue;
    }
    if (mutant(Mutant::dirty_clear_without_protect)) {
      slot->dirty[word] = 0;
      continue;
    }
    flush |= protect_word(*slot, word, ~0ull, cleared);
  }
  if (flush && !mutant(Mutant::dirty_get_without_flush)) exclusive().mmu().request_flush();
  return {};
}

std::vector<DirtyRing::Entry> Vm::collect_rings() {
  std::vector<DirtyRing::Entry> entries;
  const auto take = [&](DirtyRing& ring) {
    ring.take([&](const DirtyRing::Entry& entry) { entries.push_back(entry); });
  };
  take(marker_.ring());
  {
    const std::scoped_lock lock(vcpus_mutex_);
    for (Vcpu* vcpu : vcpus_) take(vcpu->dirty().ring());
  }
  if (mutant(Mutant::ring_reset_without_protect)) return entries;
  const auto held = exclusive();
  bool flush = false;
  for (const DirtyRing::Entry& entry : entries) {
    MemorySlot* slot = slots_.by_id(entry.slot);
    // The slot may be another one by now.
    if (slot == nullptr || entry.page >= slot->pages) continue;
    flush |= rearm(held, *slot, slot->base + entry.page);
  }
  if (flush) held.mmu().request_flush();
  return entries;
}

}  // namespace lockstep::impl
