// SPDX-License-Identifier: GPL-2.0-or-later
/// ShadowMmu: leaf SPTEs and the lists of them that each gfn has.
#include "impl/fault_steps.h"
#include "impl/mutants.h"
#include "impl/shadow_mmu.h"

namespace lockstep::impl {

namespace {

/// Rmap entries of one gfn at which whoever comes next starts over.
/// KVM: RMAP_RECYCLE_THRESHOLD.
constexpr unsigned longest_rmap = 1000;

}  // namespace

void ShadowMmu::keep_dirty(MemorySlot& slot, Gfn gfn, unsigned level, std::uint64_t old,
                           std::uint64_t now) const {
  if (!options_.dirty_bits || !slot.log || level != 1) return;
  if (loses_dirty(old, now)) slot.set_dirty(gfn);
}

void ShadowMmu::drop_leaf(ShadowPage& page, unsigned entry) {
  const Gfn gfn = page.gfn_at(entry);
  const unsigned level = page.role.level;
  const std::uint64_t seen = page.spte(entry);
  // A mapped gfn has a slot: slots go only after what maps them.
  if (MemorySlot* slot = slots_->by_gfn(gfn)) {
    if (!mutant(Mutant::rmap_entry_kept)) {
      slot->rmap_of(gfn, level).remove(rmaps(), SpteRef(page.index(), entry));
    }
    const std::uint64_t old = write(page, entry, 0);
    keep_dirty(*slot, gfn, level, mutant(Mutant::dirty_bit_overwritten) ? seen : old, 0);
    return;
  }
  write(page, entry, 0);
}

/// The SPTE for a mapping; sets `denied` if write access had to go. `old` is what
/// stands there for the same frame, or 0.
std::uint64_t ShadowMmu::make_leaf(FaultContext& context, ShadowPage& page, std::uint64_t old,
                                   const Mapping& mapping, bool sync, bool& denied) {
  LeafRequest<std::uint64_t> leaf{
      .level = page.role.level,
      .frame = mapping.frame,
      .access = mapping.access,
      .host_writable = mapping.host_writable,
      .read_only = mapping.slot.read_only,
      .nx_huge = options_.nx_huge_pages && !mutant(Mutant::nx_huge_executable)};
  if (asks_for_write(leaf, old) &&
      !try_to_unsync(mapping.slot, mapping.gfn, /*can_unsync=*/!sync, /*prefetch=*/sync)) {
    denied = true;
    leaf.tracked = true;
  }
  const std::uint64_t spte = leaf_spte(leaf);
  if (spte_writable(spte)) context.dirty.mark(mapping.slot, mapping.gfn);
  return spte;
}

Expected<ShadowMmu::Mapped> ShadowMmu::map(FaultContext& context, ShadowPage& page, unsigned entry,
                                           const Mapping& mapping) {
  const unsigned level = page.role.level;
  std::uint64_t old = page.spte(entry);
  if (old != 0) {
    if (!maps_same(old, level, mapping.frame, page.gfn_at(entry) == mapping.gfn)) {
      clear(page, entry);
      old = 0;
    }
  }
  bool denied = false;
  const std::uint64_t spte = make_leaf(context, page, old, mapping, /*sync=*/false, denied);
  const Mapped result = denied ? Mapped::write_denied : Mapped::done;
  if (old == 0) {
    RmapHead& head = mapping.slot.rmap_of(mapping.gfn, level);
    const SpteRef self(page.index(), entry);
    if (auto added = head.add(context.caches.rmaps, self); !added) return fail(added.error());
    page.set_translation(entry, mapping.gfn, mapping.access);
    write(page, entry, spte);
    if (head.count(rmaps()) > longest_rmap) unmap(mapping.slot, mapping.gfn, level);
    return result;
  }
  page.set_translation(entry, mapping.gfn, mapping.access);
  keep_dirty(mapping.slot, mapping.gfn, level, write(page, entry, spte), spte);
  if (loses_rights(old, spte)) request_flush();
  return result;
}

void ShadowMmu::map_mmio(ShadowPage& page, unsigned entry, Gfn gfn, Rights access) {
  if (mutant(Mutant::mmio_over_present) && spte_present(page.spte(entry))) {
    page.set(entry, mmio_spte(gfn, access, slots_->generation()));
    return;
  }
  clear(page, entry);
  // No entry of a generation that is still being made may be believed.
  if ((slots_->generation() & SlotTable::in_progress) != 0) return;
  write(page, entry, mmio_spte(gfn, access, slots_->generation()));
}

unsigned ShadowMmu::unmap(MemorySlot& slot, Gfn gfn, unsigned level) {
  unsigned dropped = 0;
  RmapHead& head = slot.rmap_of(gfn, level);
  for (SpteRef ref = head.first(rmaps()); !ref.none(); ref = head.first(rmaps())) {
    drop_leaf(page_of(ref), ref.entry());
    ++dropped;
    if (mutant(Mutant::rmap_walk_stops_early) || mutant(Mutant::rmap_entry_kept)) break;
  }
  if (dropped != 0 && !mutant(Mutant::notifier_without_flush)) request_flush();
  return dropped;
}

unsigned ShadowMmu::unmap_range(MemorySlot& slot, Gfn first, Gfn end) {
  unsigned dropped = 0;
  if (!slot.has_rmaps() || first >= end || mutant(Mutant::notifier_unmaps_nothing)) return 0;
  if (mutant(Mutant::notifier_skips_last)) --end;
  for (unsigned level = 1; level <= leaf_levels; ++level) {
    if (level > 1 && mutant(Mutant::notifier_skips_huge)) break;
    for (Gfn gfn = level_base(first, level); gfn < end; gfn += pages_of(level)) {
      const Gfn at = gfn < slot.base ? slot.base : gfn;
      if (!slot.rmap_of(at, level).empty()) dropped += unmap(slot, at, level);
    }
  }
  return dropped;
}

bool ShadowMmu::age_range(MemorySlot& slot, Gfn first, Gfn end) {
  bool young = false;
  if (!slot.has_rmaps()) return false;
  for (unsigned level = 1; level <= leaf_levels; ++level) {
    for (Gfn gfn = level_base(first, level); gfn < end; gfn += pages_of(level)) {
      const Gfn at = gfn < slot.base ? slot.base : gfn;
      slot.rmap_of(at, level).for_each(rmaps(), [&](SpteRef ref) {
        ShadowPage& page = page_of(ref);
        const std::uint64_t spte = page.spte(ref.entry());
        young |= (spte & entry::accessed) != 0;
        // No flush: a TLB that still has it is young, too.
        const std::uint64_t dirty = mutant(Mutant::age_clears_dirty) ? entry::dirty : 0;
        write(page, ref.entry(), spte & ~(entry::accessed | dirty));
      });
    }
  }
  return young;
}

bool ShadowMmu::take_dirty_bits(MemorySlot& slot, Gfn gfn) {
  bool dirty = false;
  if (!slot.has_rmaps()) return false;
  slot.rmap_of(gfn, 1).for_each(rmaps(), [&](SpteRef ref) {
    ShadowPage& page = page_of(ref);
    const std::uint64_t spte = page.spte(ref.entry());
    const std::uint64_t now = without_dirty(spte);
    if (now == spte) return;
    dirty = true;
    write(page, ref.entry(), now);
  });
  return dirty;
}

bool ShadowMmu::write_protect(MemorySlot& slot, Gfn gfn, unsigned least, bool for_good) {
  bool any = false;
  if (!slot.has_rmaps()) return false;
  for (unsigned level = least; level <= leaf_levels; ++level) {
    slot.rmap_of(gfn, level).for_each(rmaps(), [&](SpteRef ref) {
      ShadowPage& page = page_of(ref);
      const std::uint64_t spte = page.spte(ref.entry());
      const std::uint64_t now = write_protected(spte, for_good);
      if (now == spte) return;
      const std::uint64_t old = write(page, ref.entry(), now);
      // What the bit has told already must not be lost with it.
      if (options_.dirty_bits && slot.log && level == 1 && (old & entry::dirty) != 0) {
        slot.set_dirty(gfn);
      }
      ++events_.write_protected;
      any |= spte_writable(spte);
    });
  }
  return any && !mutant(Mutant::write_protect_without_flush);
}

}  // namespace lockstep::impl
