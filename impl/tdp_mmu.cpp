// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/tdp_mmu.h"

#include "impl/mutants.h"

namespace lockstep::impl {

TdpMmu::~TdpMmu() {
  invalidate_roots();
  for (ShadowPage* root = roots_.newest(); root != nullptr; root = root->list_next) {
    root->for_each_used([&](unsigned entry) { set(*root, entry, 0); });
  }
  reap();
}

Expected<TdpRootRef> TdpMmu::root(MemoryCache& cache, const Role& role) {
  for (ShadowPage* root = roots_.newest(); root != nullptr; root = root->list_next) {
    if (!root->invalid && root->role == role) return TdpRootRef(*root);
  }
  auto fresh = cache.take();
  if (!fresh) return fail(fresh.error());
  ShadowPage& page = **fresh;
  page.gfn = 0;
  page.role = role;
  page.tdp_mmu = true;
  page.charge = {};
  page.shadowed.indirect = Token(pages_);
  roots_.add(std::move(*fresh));
  ++shadow_->events().pages_created;
  return TdpRootRef(page);
}

void TdpMmu::invalidate_roots() {
  for (ShadowPage* root = roots_.newest(); root != nullptr; root = root->list_next) {
    root->invalid = true;
  }
}

void TdpMmu::reap() {
  for (ShadowPage* root = roots_.newest(); root != nullptr;) {
    ShadowPage* next = root->list_next;
    if (root->invalid && !root->is_root()) roots_.remove(*root).reset();
    root = next;
  }
  const std::scoped_lock lock(dead_mutex_);
  if (dead_.empty()) return;
  walkers_->wait();
  while (ShadowPage* page = dead_.newest()) dead_.remove(*page).reset();
}

/// What follows from an SPTE's change: counts, and the tree below a link that is
/// gone. KVM: handle_changed_spte().
void TdpMmu::changed(ShadowPage& page, unsigned entry, std::uint64_t old, std::uint64_t now,
                     bool shared) {
  const unsigned level = page.role.level;
  shadow_->leaves().account(level, old, now);
  if (spte_present(old) && spte_leaf(old, level)) {
    const bool written = spte_writable(old) && (old & entry::dirty) != 0;
    const bool lost = !spte_present(now) || (now & entry::dirty) == 0;
    if (written && lost && level == 1 && shadow_->options().dirty_bits) {
      const Gfn gfn = page.gfn_at(entry);
      MemorySlot* slot = shadow_->slots().by_gfn(gfn);
      if (slot != nullptr && slot->log) slot->set_dirty(gfn);
    }
    return;
  }
  if (!spte_present(old)) return;
  if (spte_present(now) && !spte_leaf(now, level) && spte_frame(old) == spte_frame(now)) return;
  take_down(*shadow_->arena().find(spte_frame(old)), shared);
}

/// Unlink everything in a table that nothing links to any more. Another thread
/// may still be filling it: each entry is frozen, so that it cannot.
/// KVM: handle_removed_pt().
void TdpMmu::take_down(ShadowPage& table, bool shared) {
  if (!shared) {
    // With the lock held alone, nobody fills it any more.
    table.for_each_used([&](unsigned entry) {
      const std::uint64_t old = table.swap(entry, 0);
      if (old != spte::removed) changed(table, entry, old, 0, /*shared=*/false);
    });
  }
  for (unsigned entry = 0; shared && entry < 512; ++entry) {
    const std::uint64_t old = table.swap(entry, spte::removed);
    if (old != 0 && old != spte::removed) changed(table, entry, old, 0, /*shared=*/true);
    // Nobody reads a frozen entry of a dead table as anything but that.
    table.set(entry, spte::removed);
  }
  shadow_->nx().remove(table);
  table.invalid = true;
  ++shadow_->events().pages_zapped;
  const std::scoped_lock lock(dead_mutex_);
  table.shadowed.indirect = Token{};
  dead_.add(ShadowPagePtr(&table, ReturnToArena{&shadow_->arena()}));
}

void TdpMmu::set(ShadowPage& page, unsigned entry, std::uint64_t now) {
  // Processors set dirty bits until the last moment. KVM: kvm_tdp_mmu_write_spte().
  std::uint64_t old = page.spte(entry);
  if (shadow_->options().dirty_bits && spte_writable(old)) {
    old = page.swap(entry, now);
  } else {
    page.set(entry, now);
  }
  changed(page, entry, old, now, /*shared=*/false);
}

bool TdpMmu::exchange(ShadowPage& page, unsigned entry, std::uint64_t old, std::uint64_t now) {
  if (old == spte::removed) return false;
  schedule::announce(spte_tag_, schedule::Access::update);
  std::uint64_t seen = old;
  const bool takes_away =
      spte_present(old) && (!spte_present(now) || spte_frame(old) != spte_frame(now) ||
                            spte_large(old) != spte_large(now));
  if (!takes_away) {
    if (!page.exchange(entry, seen, now)) return false;
    changed(page, entry, old, now, /*shared=*/true);
    return true;
  }
  // Freeze, take down, tell every TLB, and only then let others use the entry.
  if (!page.exchange(entry, seen, spte::removed)) return false;
  changed(page, entry, old, 0, /*shared=*/true);
  if (!mutant(Mutant::tdp_zap_without_flush)) shadow_->request_flush();
  schedule::announce(spte_tag_, schedule::Access::write);
  shadow_->leaves().account(page.role.level, 0, now);
  page.set(entry, now);
  return true;
}

ShadowPagePtr TdpMmu::make_table(ShadowPagePtr fresh, ShadowPage& parent, unsigned entry, Gfn gfn) {
  fresh->tdp_mmu = true;
  fresh->role = parent.role;
  fresh->role.level = static_cast<std::uint8_t>(parent.role.level - 1);
  fresh->gfn = gfn;
  fresh->parent = SpteRef(parent.index(), entry);
  fresh->shadowed.indirect = Token(pages_);
  ++shadow_->events().pages_created;
  return fresh;
}

Expected<ShadowPage*> TdpMmu::descend(FaultCaches& caches, ShadowPage& from, unsigned entry,
                                      Gfn gfn, const Goal* goal, bool& retry) {
  const unsigned level = from.role.level;
  schedule::announce(spte_tag_, schedule::Access::read);
  const std::uint64_t old = from.spte(entry);
  if (old == spte::removed) {
    retry = true;
    return nullptr;
  }
  if (spte_present(old) && !spte_leaf(old, level)) return &child(from, entry);
  auto fresh = caches.pages.take();
  if (!fresh) return fail(fresh.error());
  ShadowPagePtr table = make_table(std::move(*fresh), from, entry, level_base(gfn, level));
  if (!exchange(from, entry, old, nonleaf_spte(table->frame()))) {
    retry = true;  // the table goes back by itself
    return nullptr;
  }
  ShadowPage* linked = table.release();  // the tree owns it: take_down()
  if (goal != nullptr && goal->no_huge && goal->could_be >= level) shadow_->nx().add(*linked);
  return linked;
}

Expected<TdpMmu::Mapped> TdpMmu::map(FaultCaches& caches, DirtyMarker& dirty, ShadowPage& root,
                                     const Mapping& mapping, const Goal& goal) {
  ShadowPage* table = &root;
  unsigned target = goal.level;
  for (bool retry = false; table->role.level > target;) {
    const unsigned entry = spte_index(gfn_to_gpa(mapping.gfn), table->role.level);
    auto next = descend(caches, *table, entry, mapping.gfn, &goal, retry);
    if (!next) return fail(next.error());
    if (retry) return Mapped::retry;
    table = *next;
    // Code ran here: no huge page until recovery. KVM:
    // disallowed_hugepage_adjust().
    if (table->no_huge && target > 1 && table->role.level < target + 1) target = 1;
  }
  const unsigned level = table->role.level;
  const unsigned entry = spte_index(gfn_to_gpa(mapping.gfn), level);
  schedule::announce(spte_tag_, schedule::Access::read);
  const std::uint64_t old = table->spte(entry);
  if (old == spte::removed) return Mapped::retry;
  // A present table stays where the mitigation made it.
  if (level > 1 && spte_present(old) && !spte_leaf(old, level) && child(*table, entry).no_huge) {
    return map(caches, dirty, root, mapping, {.level = level - 1});
  }
  const LeafRequest<std::uint64_t> leaf{
      .level = level,
      .frame = level_base(mapping.frame, level),
      .access = mapping.access,
      .host_writable = mapping.host_writable,
      .read_only = mapping.slot.read_only,
      .tracked = mapping.slot.is_tracked(mapping.gfn),
      .nx_huge = shadow_->options().nx_huge_pages && !mutant(Mutant::nx_huge_executable)};
  const bool denied = leaf.may_write() && leaf.tracked;
  const std::uint64_t spte = leaf_spte(leaf);
  // Before others can store through the entry. KVM: make_spte().
  if (spte_writable(spte)) {
    schedule::announce(mapping.slot.dirty_tag, schedule::Access::update);
    dirty.mark(mapping.slot, mapping.gfn);
  }
  if (old != spte) {
    const bool fewer = spte_present(old) && loses_rights(old, spte);
    if (!exchange(*table, entry, old, spte)) return Mapped::retry;
    if (fewer) shadow_->request_flush();
  }
  return denied ? Mapped::write_denied : Mapped::done;
}

Expected<TdpMmu::Mapped> TdpMmu::map_mmio(FaultCaches& caches, ShadowPage& root, Gfn gfn) {
  ShadowPage* table = &root;
  while (table->role.level > 1) {
    bool retry = false;
    const unsigned entry = spte_index(gfn_to_gpa(gfn), table->role.level);
    auto next = descend(caches, *table, entry, gfn, nullptr, retry);
    if (!next) return fail(next.error());
    if (retry) return Mapped::retry;
    table = *next;
  }
  const std::uint64_t generation = shadow_->slots().generation();
  if ((generation & SlotTable::in_progress) != 0) return Mapped::done;
  const unsigned entry = spte_index(gfn_to_gpa(gfn), 1);
  const std::uint64_t old = table->spte(entry);
  const std::uint64_t now = mmio_spte(gfn, rights::all, generation);
  return old == now || exchange(*table, entry, old, now) ? Mapped::done : Mapped::retry;
}

unsigned TdpMmu::unmap_range(Gfn first, Gfn end) {
  unsigned dropped = 0;
  if (mutant(Mutant::notifier_unmaps_nothing)) return 0;
  each_leaf(first, end, [&](ShadowPage& page, unsigned entry, std::uint64_t) {
    if (page.role.level > 1 && mutant(Mutant::notifier_skips_huge)) return;
    set(page, entry, 0);
    ++dropped;
  });
  const bool silent =
      mutant(Mutant::notifier_without_flush) || mutant(Mutant::tdp_zap_without_flush);
  if (dropped != 0 && !silent) shadow_->request_flush();
  return dropped;
}

bool TdpMmu::age_range(Gfn first, Gfn end) {
  bool young = false;
  each_leaf(first, end, [&](ShadowPage& page, unsigned entry, std::uint64_t spte) {
    young |= (spte & entry::accessed) != 0;
    const std::uint64_t dirty = mutant(Mutant::age_clears_dirty) ? entry::dirty : 0;
    set(page, entry, spte & ~(entry::accessed | dirty));
  });
  return young;
}

bool TdpMmu::write_protect(Gfn first, Gfn end, unsigned least, bool for_good) {
  bool any = false;
  each_leaf(first, end, [&](ShadowPage& page, unsigned entry, std::uint64_t spte) {
    const std::uint64_t now = write_protected(spte, for_good);
    if (page.role.level < least || now == spte) return;
    set(page, entry, now);
    ++shadow_->events().write_protected;
    any |= spte_writable(spte);
  });
  return any && !mutant(Mutant::write_protect_without_flush);
}

Expected<void> TdpMmu::split_range(MemoryCache& cache, Gfn first, Gfn end) {
  Expected<void> result;
  bool again = true;
  while (again && result) {
    again = false;
    each_leaf(first, end, [&](ShadowPage& page, unsigned entry, std::uint64_t huge) {
      const unsigned level = page.role.level;
      if (level == 1 || !result) return;
      auto fresh = cache.take();
      if (!fresh) {
        result = fail(fresh.error());
        return;
      }
      ShadowPagePtr table = make_table(std::move(*fresh), page, entry, page.gfn_at(entry));
      for (unsigned i = 0; i < 512; ++i) {
        const unsigned piece = mutant(Mutant::split_maps_first)       ? 0
                               : mutant(Mutant::split_rounds_to_even) ? i & ~1u
                                                                      : i;
        std::uint64_t spte = split_spte(huge, level, piece);
        if (mutant(Mutant::split_gains_write)) spte |= entry::writable | entry::dirty;
        table->set(i, spte);
        shadow_->leaves().account(level - 1, 0, spte);
      }
      set(page, entry, nonleaf_spte(table.release()->frame()));
      ++shadow_->events().split;
      again = true;
    });
  }
  return result;
}

void TdpMmu::zap(ShadowPage& page) {
  if (page.parent.none()) return;
  set(shadow_->arena().page(page.parent.page()), page.parent.entry(), 0);
  const bool silent =
      mutant(Mutant::tdp_zap_without_flush) || mutant(Mutant::nx_recovery_without_flush);
  if (!silent) shadow_->request_flush();
}

}  // namespace lockstep::impl
