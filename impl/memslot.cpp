// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/memslot.h"

#include <algorithm>

#include "impl/mutants.h"

namespace lockstep::impl {

namespace {

bool misaligned(std::uint64_t address) { return (address & ~page_mask) != 0; }

template <typename Slots>
auto first_behind(const Slots& slots, Gfn gfn) {
  return std::upper_bound(slots.begin(), slots.end(), gfn,
                          [](Gfn g, const auto& slot) { return g < slot->base; });
}

}  // namespace

bool SlotTable::overlaps(std::uint64_t id, Gfn first, Gfn end) const {
  return std::any_of(slots_.begin(), slots_.end(), [&](const auto& slot) {
    return slot->id != id && slot->base < end && first < slot->base + slot->pages;
  });
}

Expected<SlotChange> SlotTable::classify(const MemoryRegion& region) const {
  if (region.id >= limits_.slots) return fail(Error::invalid);
  if (misaligned(region.size) || misaligned(region.gpa) || misaligned(region.hva)) {
    return fail(Error::invalid);
  }
  if (region.hva > limits_.hva_end || region.size > limits_.hva_end - region.hva) {
    return fail(Error::invalid);
  }
  if (region.gpa + region.size < region.gpa) return fail(Error::invalid);
  const std::uint64_t pages = region.size >> page_shift;
  if (pages > limits_.slot_pages) return fail(Error::invalid);

  const MemorySlot* old = by_id(region.id);
  if (pages == 0) {
    if (old == nullptr) return fail(Error::invalid);
    return SlotChange::remove;
  }
  const Gfn base = gpa_to_gfn(region.gpa);
  SlotChange change = SlotChange::create;
  if (old != nullptr) {
    if (region.hva != old->hva || pages != old->pages || region.read_only != old->read_only) {
      return fail(Error::invalid);
    }
    if (base == old->base) {
      return region.log == old->log ? SlotChange::nothing : SlotChange::flags;
    }
    change = SlotChange::move;
  }
  if (overlaps(region.id, base, base + pages)) return fail(Error::exists);
  if (base + pages - 1 > limits_.max_gfn) return fail(Error::invalid);
  return change;
}

const MemorySlot* SlotTable::by_id(std::uint64_t id) const {
  const auto found =
      std::find_if(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot->id == id; });
  return found == slots_.end() ? nullptr : found->get();
}

MemorySlot* SlotTable::by_id(std::uint64_t id) {
  return const_cast<MemorySlot*>(std::as_const(*this).by_id(id));
}

MemorySlot* SlotTable::by_gfn(Gfn gfn) {
  MemorySlot* last = last_used_.mine().load(std::memory_order_relaxed);
  if (last != nullptr && last->contains(gfn)) return last;
  schedule::announce(read_tag_, schedule::Access::read, std::memory_order_acquire);
  const auto& slots = published_[read_.load(std::memory_order_acquire)];
  const auto behind = first_behind(slots, gfn);
  if (behind == slots.begin()) return nullptr;
  MemorySlot* slot = *std::prev(behind);
  if (!slot->contains(gfn)) return nullptr;
  last_used_.mine().store(slot, std::memory_order_relaxed);
  return slot;
}

Expected<SlotTable::Room> SlotTable::room() {
  if (plan_.fails_now()) return fail(Error::no_memory);
  const std::size_t wanted = slots_.size() + 1;
  auto& next = published_[1 - read_.load(std::memory_order_relaxed)];
  const auto grown = or_no_memory([&] {
    if (slots_.capacity() < wanted) slots_.reserve(2 * wanted + 2);
    if (next.capacity() < wanted) next.reserve(2 * wanted + 2);
  });
  if (!grown) return fail(grown.error());
  return Room{};
}

MemorySlot& SlotTable::put(std::unique_ptr<MemorySlot> slot, Room&& /*room*/) {
  return **slots_.insert(first_behind(slots_, slot->base), std::move(slot));
}

std::unique_ptr<MemorySlot> SlotTable::take(std::uint64_t id) {
  const auto found =
      std::find_if(slots_.begin(), slots_.end(), [&](const auto& slot) { return slot->id == id; });
  if (found == slots_.end()) return nullptr;
  std::unique_ptr<MemorySlot> slot = std::move(*found);
  slots_.erase(found);
  return slot;
}

/// Let lookups see the slots as they are now. There is room: Room made it for one
/// more, and one less had it when the array was read last.
void SlotTable::publish() {
  const unsigned next = 1 - read_.load(std::memory_order_relaxed);
  published_[next].clear();
  for (const auto& slot : slots_) published_[next].push_back(slot.get());
  schedule::announce(read_tag_, schedule::Access::write, std::memory_order_release);
  read_.store(next, std::memory_order_release);
}

std::unique_ptr<MemorySlot> SlotTable::forget(std::unique_ptr<MemorySlot> slot) {
  if (mutant(Mutant::last_used_slot_kept) && slot != nullptr) {
    // Never freed: what it shows is stale, not garbage.
    static std::vector<std::unique_ptr<MemorySlot>> kept;
    kept.push_back(std::move(slot));
    return nullptr;
  }
  last_used_.each([&](std::atomic<MemorySlot*>& last) {
    if (last == slot.get()) last = nullptr;
  });
  return slot;
}

std::uint64_t MemorySlot::bytes() const {
  std::uint64_t sum = sizeof(MemorySlot) + (tracked ? pages * sizeof(tracked[0]) : 0) +
                      (dirty ? dirty_words() * sizeof(dirty[0]) : 0);
  for (unsigned level = 1; level <= leaf_levels; ++level) {
    if (has_rmaps()) sum += entries(level) * sizeof(RmapHead);
    if (level > 1) sum += entries(level) * sizeof(no_huge[0][0]);
  }
  return sum;
}

Expected<void> allocate_rmaps(MemorySlot& slot, FaultPlan& plan) {
  if (slot.has_rmaps()) return {};
  std::array<ZeroedArray<RmapHead>, leaf_levels> rmap;
  for (unsigned level = 1; level <= leaf_levels; ++level) {
    auto made = ZeroedArray<RmapHead>::make(slot.entries(level), plan);
    if (!made) return fail(made.error());
    rmap[level - 1] = std::move(*made);
  }
  slot.rmap = std::move(rmap);
  return {};
}

Expected<void> allocate_tracking(MemorySlot& slot, FaultPlan& plan) {
  if (slot.tracked) return {};
  auto tracked = ZeroedArray<std::uint16_t>::make(slot.pages, plan);
  if (!tracked) return fail(tracked.error());
  slot.tracked = std::move(*tracked);
  return {};
}

void count_edges(MemorySlot& slot) {
  for (unsigned level = 2; level <= leaf_levels; ++level) {
    ZeroedArray<std::int32_t>& counts = slot.no_huge[level - 2];
    const std::uint64_t entries = slot.entries(level);
    auto edges = slot_edges<std::uint64_t>(slot.base, slot.pages, slot.hva >> page_shift, level);
    if (edges.last && mutant(Mutant::huge_past_slot)) edges.last = false;
    if (edges.first && mutant(Mutant::huge_before_slot)) edges.first = false;
    for (std::uint64_t i = 0; i < entries; ++i) {
      counts[i] = edge_forbids<std::uint64_t>(edges, i, entries) ? 1 : 0;
    }
  }
}

Expected<void> allocate_metadata(MemorySlot& slot, bool rmaps, bool tracking, FaultPlan& plan) {
  for (unsigned level = 2; level <= leaf_levels; ++level) {
    auto counts = ZeroedArray<std::int32_t>::make(slot.entries(level), plan);
    if (!counts) return fail(counts.error());
    slot.no_huge[level - 2] = std::move(*counts);
  }
  count_edges(slot);
  if (rmaps) {
    if (auto made = allocate_rmaps(slot, plan); !made) return made;
  }
  return tracking ? allocate_tracking(slot, plan) : Expected<void>{};
}

Expected<void> allocate_dirty_bitmap(MemorySlot& slot, bool all_set, FaultPlan& plan) {
  auto dirty = ZeroedArray<std::uint64_t>::make(slot.dirty_words(), plan);
  if (!dirty) return fail(dirty.error());
  slot.dirty = std::move(*dirty);
  if (!all_set) return {};
  for (std::uint64_t word = 0; word < slot.dirty_words(); ++word) {
    const std::uint64_t left = slot.pages - word * 64;
    slot.dirty[word] = left >= 64 ? ~0ull : (1ull << left) - 1;
  }
  return {};
}

}  // namespace lockstep::impl
