// SPDX-License-Identifier: GPL-2.0-or-later
/// ShadowMmu: pages by gfn and role, and the links between them.
#include "impl/shadow_mmu.h"

#include "impl/mutants.h"

namespace lockstep::impl {

ShadowMmu::ShadowMmu(SlotTable& slots, TableArena& arena, const MmuOptions& options)
    : slots_(&slots),
      arena_(&arena),
      options_(options),
      counter_(options.page_limit),
      active_(arena),
      zapped_roots_(arena) {}

ShadowPage& ShadowMmu::adopt(ShadowPagePtr fresh, Gfn gfn, const Role& role) {
  ShadowPage& page = active_.add(std::move(fresh));
  page.gfn = gfn;
  page.role = role;
  page.valid_generation = valid_generation_;
  page.charge = counter_.charge();
  hash_.insert(page);
  ++events_.pages_created;
  return page;
}

Expected<ShadowPage*> ShadowMmu::get_direct(MemoryCache& cache, Gfn gfn, const Role& role) {
  ShadowPage* found = nullptr;
  hash_.for_each(gfn, [&](ShadowPage& page) {
    if (page.role == role && !is_obsolete(page)) found = &page;
  });
  if (found != nullptr) return found;
  auto fresh = cache.take();
  if (!fresh) return fail(fresh.error());
  return &adopt(std::move(*fresh), gfn, role);
}

Expected<ShadowPage*> ShadowMmu::get_shadow(FaultContext& context, Gfn gfn, const Role& role) {
  ZapBatch batch(*this);
  for (bool again = true; again;) {
    again = false;
    ShadowPage* found = nullptr;
    ShadowPage* stale = nullptr;
    hash_.for_each(gfn, [&](ShadowPage& page) {
      if (is_obsolete(page)) return;
      if (page.role == role) {
        found = &page;
      } else if (role.level > 1 && page.unsync && !mutant(Mutant::upper_table_unsync)) {
        // A table of a higher level is never written unseen, so no page that may
        // lag behind can stay. KVM: kvm_mmu_find_shadow_page().
        stale = &page;
      }
    });
    if (stale != nullptr) {
      zap(batch, *stale);
      again = true;
      continue;
    }
    if (found == nullptr) break;
    if (!found->unsync) return found;
    // Good from now on, but not protected: the guest's next flush does that.
    const Synced synced = sync_entries(context, *found);
    if (synced == Synced::unfit) {
      zap(batch, *found);
      break;
    }
    if (synced == Synced::changed) request_flush();
    return found;
  }
  auto fresh = context.caches.pages.take();
  if (!fresh) return fail(fresh.error());
  auto translations = context.caches.translations.take();
  if (!translations) return fail(translations.error());
  ShadowPage& page = adopt(std::move(*fresh), gfn, role);
  page.translations = std::move(*translations);
  account_shadowed(page);
  return &page;
}

void ShadowMmu::account_shadowed(ShadowPage& page) {
  page.shadowed.indirect = Token(indirect_);
  MemorySlot* slot = slots_->by_gfn(page.gfn);
  if (slot == nullptr) return;
  // Level-1 tables are not tracked: they may become unsync.
  if (page.role.level > 1 && slot->tracked) {
    page.shadowed.tracked = SlotHold(slot->tracked_of(page.gfn));
  }
  for (unsigned level = 2; level <= leaf_levels; ++level) {
    page.shadowed.no_huge[level - 2] = SlotHold(slot->no_huge_of(page.gfn, level));
  }
  if (mutant(Mutant::table_not_write_protected)) return;
  if (write_protect(*slot, page.gfn, 1, /*for_good=*/true)) request_flush();
}

ShadowPage& ShadowMmu::child(const ShadowPage& parent, unsigned entry) {
  return *arena_->find(spte_frame(parent.spte(entry)));
}

Expected<void> ShadowMmu::link(RmapCache& cache, ShadowPage& parent, unsigned entry,
                               ShadowPage& child) {
  clear(parent, entry);
  if (auto added = child.parents.add(cache, SpteRef(parent.index(), entry)); !added) return added;
  write(parent, entry, nonleaf_spte(child.frame()));
  if (mutant(Mutant::unsync_parents_not_marked)) return {};
  if (child.unsync || child.unsync_children.count() != 0) {
    if (parent.unsync_children.set(entry) && parent.unsync_children.count() == 1) {
      mark_parents(parent);
    }
  }
  return {};
}

void ShadowMmu::drop_link(ShadowPage& parent, unsigned entry) {
  ShadowPage& below = child(parent, entry);
  below.parents.remove(rmaps(), SpteRef(parent.index(), entry));
  parent.unsync_children.clear(entry);
  write(parent, entry, 0);
}

void ShadowMmu::clear(ShadowPage& page, unsigned entry) {
  const std::uint64_t old = page.spte(entry);
  if (old == 0) return;
  if (!spte_present(old)) {
    write(page, entry, 0);  // MMIO: no TLB holds it
    return;
  }
  if (spte_leaf(old, page.role.level)) {
    drop_leaf(page, entry);
  } else {
    drop_link(page, entry);
  }
  if (mutant(Mutant::zap_without_flush) || mutant(Mutant::zapped_pages_without_flush)) return;
  request_flush();
}

}  // namespace lockstep::impl
