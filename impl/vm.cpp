// SPDX-License-Identifier: GPL-2.0-or-later
/// Vm: its memory slots, and stores to guest memory.
#include "impl/vm.h"

#include <algorithm>
#include <new>

#include "impl/mutants.h"
#include "impl/vcpu.h"

namespace lockstep::impl {

Vm::Vm(HostMemory memory, TableArena& arena, const VmSettings& settings)
    : memory_(std::move(memory)),
      settings_(settings),
      slots_(settings.slot_limits),
      mmu_(slots_, arena,
           {.page_limit = settings.shadow_page_limit,
            .nx_huge_pages = settings.nx_huge_pages,
            .dirty_bits = settings.dirty_bits}),
      marker_(settings.dirty_log == DirtyLogMode::ring),
      split_pages_(arena),
      split_rmaps_(arena.rmaps()) {}

Vm::~Vm() {
  const auto held = exclusive();
  held.tdp().invalidate_roots();
  held.tdp().zap_invalidated([] {});
  held.mmu().zap_all();
}

std::size_t Vm::join(Vcpu& vcpu) {
  const std::scoped_lock lock(vcpus_mutex_);
  vcpus_.push_back(&vcpu);
  return vcpus_.size() - 1;
}

void Vm::leave(Vcpu& vcpu) {
  const std::scoped_lock lock(vcpus_mutex_);
  std::erase(vcpus_, &vcpu);
}

Vm::Place Vm::place(Gpa gpa) {
  MemorySlot* slot = slots_.by_gfn(gpa_to_gfn(gpa));
  if (slot == nullptr || slot->invalid) return {};
  const Hva hva = slot->hva_of(gpa);
  if (!memory_.contains(hva & page_mask, page_size)) return {};
  return {slot, hva};
}

unsigned Vm::mapping_level(const MemorySlot& slot, Gfn gfn, unsigned level) const {
  level = std::min(level, leaf_levels);
  if (level == 1) return 1;
  level = static_cast<unsigned>(
      impl::mapping_level<std::uint64_t>(level, slot.allows(gfn, 2), slot.allows(gfn, 3)));
  if (level == 1) return 1;
  return std::min(level, memory_.level(slot.hva_of(gfn_to_gpa(gfn))));
}

Vm::Store Vm::guest_store(Gpa gpa, unsigned size, std::uint64_t value, DirtyMarker& dirty) {
  const Place at = place(gpa);
  if (!at || at.slot->read_only) return Store::mmio;
  if (host_protects(at.hva) && !mutant(Mutant::host_protection_ignored)) return Store::mmio;
  memory_.store(at.hva, size, value);
  dirty.mark(*at.slot, gpa_to_gfn(gpa));
  if (mmu_.indirect_pages() == 0) return Store::done;
  const auto held = exclusive();
  if (at.slot->is_tracked(gpa_to_gfn(gpa))) ++tracked_stores_;
  held.mmu().guest_wrote(gpa, size);
  return Store::done;
}

/// The slots have changed: a new generation, and an end to MMIO entries that
/// could be taken for its own. KVM: kvm_mmu_invalidate_mmio_sptes().
void Vm::publish() {
  slots_.end_change();
  const bool wraps = generation_wraps<std::uint64_t>(
      mmio::layout<std::uint64_t>(), slots_.generation(), SlotTable::address_spaces);
  if (wraps) zap_everything();
}

void Vm::zap_everything() {
  auto held = exclusive();
  held.tdp().invalidate_roots();
  const auto relax = [&] { held.relax(); };
  held.mmu().zap_all(relax);
  held.mmu().request_flush();
  held.tdp().zap_invalidated(relax);
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

Expected<std::unique_ptr<MemorySlot>> Vm::make_slot(const MemoryRegion& region) {
  std::unique_ptr<MemorySlot> slot(slots_.plan().fails_now() ? nullptr
                                                             : new (std::nothrow) MemorySlot);
  if (!slot) return fail(Error::no_memory);
  slot->id = static_cast<unsigned>(region.id);
  slot->base = gpa_to_gfn(region.gpa);
  slot->pages = region.size >> page_shift;
  slot->hva = region.hva;
  slot->read_only = region.read_only;
  const bool tracking = !settings_.tdp || tracking_enabled();
  if (auto made = allocate_metadata(*slot, !uses_tdp_mmu(), tracking, slots_.plan()); !made) {
    return fail(made.error());
  }
  return slot;
}

Expected<void> Vm::create(const MemoryRegion& region) {
  const std::scoped_lock arch(slots_arch_mutex_);
  auto slot = make_slot(region);
  if (!slot) return fail(slot.error());
  if (auto logging = set_logging(**slot, region.log); !logging) return logging;
  auto room = slots_.room();
  if (!room) return fail(room.error());
  slots_.begin_change();
  slots_.insert(std::move(*slot), *std::move(room), [this] { slot_readers_.wait(); });
  const std::uint64_t before = slots_.generation() & ~SlotTable::in_progress;
  publish();
  if (mutant(Mutant::create_keeps_generation)) slots_.set_generation(before);
  return {};
}

/// First half of a delete or move: nothing may be mapped through the slot any
/// more, and nothing that was stays. KVM: kvm_invalidate_memslot(),
/// kvm_arch_flush_shadow_memslot().
void Vm::begin_removal(MemorySlot& slot) {
  slots_.begin_change();
  slot.invalid = true;
  // Who still takes it for a slot maps it before the zap, not after.
  if (!mutant(Mutant::zap_before_readers)) slot_readers_.wait();
  publish();
  if (mutant(Mutant::delete_keeps_mappings)) return;
  if (settings_.slot_zap_all) {
    zap_everything();
    return;
  }
  const auto held = exclusive();
  held.mmu().zap_slot(slot);
  held.tdp().unmap_range(slot.base, slot.base + slot.pages);
}

void Vm::remove(std::uint64_t id) {
  begin_removal(*slots_.by_id(id));
  slots_.begin_change();
  slots_.extract(id, [this] { slot_readers_.wait(); }).reset();
  publish();
}

Expected<void> Vm::move(const MemoryRegion& region) {
  const std::scoped_lock arch(slots_arch_mutex_);
  MemorySlot& old = *slots_.by_id(region.id);
  auto moved = make_slot(region);
  if (!moved) return fail(moved.error());
  auto room = slots_.room();
  if (!room) return fail(room.error());
  MemorySlot& slot = **moved;
  if (region.log && old.log) {
    slot.log = true;
  } else if (auto logging = set_logging(slot, region.log); !logging) {
    return logging;
  }
  if (mutant(Mutant::move_keeps_mappings)) {
    old.base = slot.base;
    return {};
  }
  const bool keeps_bitmap = region.log && old.log;
  if (keeps_bitmap && mutant(Mutant::move_loses_dirty_bits)) slot.dirty = std::move(old.dirty);
  begin_removal(old);
  // What was unmapped has left its dirty bits, and nobody marks pages of an invalid slot:
  // the bitmap moves along.
  if (keeps_bitmap && !slot.dirty) slot.dirty = std::move(old.dirty);
  slots_.begin_change();
  slots_.replace(region.id, std::move(*moved), *std::move(room), [this] { slot_readers_.wait(); })
      .reset();
  publish();
  return {};
}

Expected<void> Vm::change_flags(const MemoryRegion& region) {
  MemorySlot& slot = *slots_.by_id(region.id);
  if (!region.log) {
    harvest(slot);
  }
  slots_.begin_change();
  const auto logging = set_logging(slot, region.log);
  publish();
  if (!logging) return logging;
  // KVM: kvm_mmu_slot_apply_flags().
  if (!region.log) {
    collapse_slot(slot);
    return {};
  }
  if (!slot.read_only && settings_.dirty_log != DirtyLogMode::manual_all_set &&
      !mutant(Mutant::enable_log_without_protect)) {
    protect_slot(slot);
  }
  return {};
}

Expected<void> Vm::set_logging(MemorySlot& slot, bool log) {
  const bool bitmap = settings_.dirty_log != DirtyLogMode::ring;
  if (!log) {
    if (!slot.log) return {};
    slot.log = false;
    // Who is about to mark a page ends before the bitmap does.
    slot_readers_.wait();
    slot.dirty.reset();
    return {};
  }
  if (!slot.dirty && bitmap) {
    const bool all_set = settings_.dirty_log == DirtyLogMode::manual_all_set;
    if (auto made = allocate_dirty_bitmap(slot, all_set, slots_.plan()); !made) return made;
  }
  slot.log = true;
  return {};
}

std::uint64_t Vm::bytes() const {
  TableArena& pages = arena();
  std::uint64_t sum = pages.in_use() * (page_size + sizeof(ShadowPage)) +
                      pages.translations().in_use() * sizeof(Translations) +
                      pages.rmaps().in_use() * sizeof(RmapDescriptor);
  for (const auto& slot : slots_.all()) sum += slot->bytes();
  return sum;
}

Expected<void> Vm::set_page_limit(std::uint64_t pages) {
  constexpr std::uint64_t least = 64;  // KVM_MIN_ALLOC_MMU_PAGES
  if (pages < least) return fail(Error::invalid);
  const auto held = exclusive();
  held.mmu().set_page_limit(pages);
  return {};
}

std::uint64_t Vm::shrink(std::uint64_t objects) {
  std::uint64_t freed = 0;
  {
    const std::scoped_lock lock(vcpus_mutex_);
    for (Vcpu* vcpu : vcpus_) {
      if (freed < objects) freed += vcpu->purge_caches();
    }
  }
  if (freed >= objects) return freed;
  const auto held = exclusive();
  return freed + held.mmu().zap_oldest(objects - freed);
}

Expected<void> Vm::enable_tracking() {
  // Two may register at once; the second finds it done.
  const std::scoped_lock arch(slots_arch_mutex_);
  if (tracking_enabled()) return {};
  for (const auto& slot : slots_.all()) {
    // What was allocated stays, and is found when this is tried again.
    if (auto made = allocate_tracking(*slot, slots_.plan()); !made) return made;
  }
  tracking_.store(true, std::memory_order_release);
  return {};
}

Expected<void> Vm::track(Gfn gfn, bool on) {
  MemorySlot* slot = slots_.by_gfn(gfn);
  if (slot == nullptr || !slot->tracked || !tracking_enabled()) return fail(Error::invalid);
  std::uint16_t& count = slot->tracked_of(gfn);
  if (on ? count == UINT16_MAX : count == 0) return fail(Error::invalid);
  const auto held = exclusive();
  count = static_cast<std::uint16_t>(on ? count + 1 : count - 1);
  for (unsigned level = 2; level <= leaf_levels; ++level) {
    slot->no_huge_of(gfn, level) += on ? 1 : -1;
  }
  if (!on) return {};
  bool flush = held.mmu().write_protect(*slot, gfn, 1, /*for_good=*/true);
  flush |= held.tdp().write_protect(gfn, gfn + 1, 1, /*for_good=*/true);
  if (flush) held.mmu().request_flush();
  return {};
}

}  // namespace lockstep::impl
