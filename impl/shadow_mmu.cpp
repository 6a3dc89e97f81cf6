// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/shadow_mmu.h"

#include "impl/spte.h"

namespace lockstep::impl {

ShadowMmu::ShadowMmu(SlotTable& slots, TableArena& arena, std::uint64_t page_limit)
    : slots_(&slots), arena_(&arena), counter_(page_limit), active_(arena), zapped_roots_(arena) {}

// Lists of SPTEs: rmaps and parent_ptes share the links.

void ShadowMmu::push(SpteRef head, SpteRef self) {
  link_of(self) = {.next = head, .previous = {}};
  if (!head.none()) link_of(head).previous = self;
}

SpteRef ShadowMmu::unlink(SpteRef head, SpteRef self) {
  const SpteLink gone = link_of(self);
  if (!gone.next.none()) link_of(gone.next).previous = gone.previous;
  if (gone.previous.none()) return gone.next;
  link_of(gone.previous).next = gone.next;
  return head;
}

void ShadowMmu::rmap_add(MemorySlot& slot, Gfn gfn, SpteRef self) {
  RmapHead& head = slot.rmap_of(gfn);
  push(head.first(), self);
  head.set(self);
  ++mapped_pages_;
}

void ShadowMmu::rmap_remove(Gfn gfn, SpteRef self) {
  // A mapped gfn has a slot: slots go only after zap_all().
  if (MemorySlot* slot = slots_->by_gfn(gfn)) {
    RmapHead& head = slot->rmap_of(gfn);
    head.set(unlink(head.first(), self));
    --mapped_pages_;
  }
}

Expected<ShadowPage*> ShadowMmu::get_page(MemoryCache& cache, Gfn gfn, const Role& role) {
  if (ShadowPage* found = hash_.find(gfn, role)) return found;
  auto fresh = cache.take();
  if (!fresh) return fail(fresh.error());
  ShadowPage& page = active_.add(std::move(*fresh));
  page.gfn = gfn;
  page.role = role;
  page.charge = counter_.charge();
  hash_.insert(page);
  ++events_.pages_created;
  if (!role.direct) {
    if (MemorySlot* slot = slots_->by_gfn(gfn)) {
      page.tracked = TrackedGfn(slot->tracked_of(gfn));
      if (write_protect(*slot, gfn)) request_flush();
    }
  }
  return &page;
}

ShadowPage& ShadowMmu::child(const ShadowPage& parent, unsigned entry) {
  return *arena_->find(spte_frame(parent.spte(entry)));
}

void ShadowMmu::link(ShadowPage& parent, unsigned entry, ShadowPage& child) {
  clear(parent, entry);
  const SpteRef self(parent.index(), entry);
  push(child.parents, self);
  child.parents = self;
  parent.set(entry, nonleaf_spte(child.frame()));
}

std::uint64_t ShadowMmu::map(ShadowPage& page, unsigned entry, MemorySlot& slot, Gfn gfn,
                             Rights access) {
  if (slot.read_only || slot.is_tracked(gfn)) {
    access &= static_cast<Rights>(~rights::writable);
  }
  const Hfn frame = slot.hva_of(gfn_to_gpa(gfn)) >> page_shift;
  const std::uint64_t spte = leaf_spte(frame, access);
  const std::uint64_t old = page.spte(entry);
  if ((old & entry::present) != 0 && (page.gfns[entry] != gfn || spte_frame(old) != frame)) {
    clear(page, entry);
  }
  if (!page.present(entry)) {
    page.gfns[entry] = gfn;
    rmap_add(slot, gfn, SpteRef(page.index(), entry));
  } else if (loses_rights(old, spte)) {
    request_flush();
  }
  if (spte_writable(spte)) slot.mark_dirty(gfn);
  page.set(entry, spte);
  return spte;
}

void ShadowMmu::clear(ShadowPage& page, unsigned entry) {
  if (!page.present(entry)) return;
  const SpteRef self(page.index(), entry);
  if (page.role.level == 1) {
    rmap_remove(page.gfns[entry], self);
  } else {
    ShadowPage& below = child(page, entry);
    below.parents = unlink(below.parents, self);
  }
  page.clear(entry);
  request_flush();
}

void ShadowMmu::zap(ShadowPage& page) {
  page.for_each_present([&](unsigned entry) { clear(page, entry); });
  while (!page.parents.none()) {
    clear(arena_->page(page.parents.page()), page.parents.entry());
  }
  hash_.erase(page);
  page.tracked = TrackedGfn{};
  page.charge = PageCharge{};
  ++events_.pages_zapped;
  request_flush();
  ShadowPagePtr owned = active_.remove(page);
  if (page.root_count == 0) return;
  page.invalid = true;
  ++obsolete_generation_;
  zapped_roots_.add(std::move(owned));
}

void ShadowMmu::zap_all() {
  while (ShadowPage* page = active_.newest()) zap(*page);
}

Expected<void> ShadowMmu::make_available(std::uint64_t pages) {
  ShadowPage* candidate = active_.oldest();
  while (counter_.available() < pages) {
    while (candidate != nullptr && candidate->root_count != 0) candidate = candidate->list_previous;
    if (candidate == nullptr) return fail(Error::no_space);
    ShadowPage* younger = candidate->list_previous;
    zap(*candidate);
    ++events_.recycled;
    candidate = younger;
  }
  return {};
}

void ShadowMmu::set_page_limit(std::uint64_t pages) {
  counter_.set_limit(pages);
  ShadowPage* candidate = active_.oldest();
  while (counter_.used() > pages && candidate != nullptr) {
    ShadowPage* younger = candidate->list_previous;
    if (candidate->root_count == 0) {
      zap(*candidate);
      ++events_.recycled;
    }
    candidate = younger;
  }
}

void ShadowMmu::drop_root(ShadowPage& page) {
  if (--page.root_count == 0 && page.invalid) zapped_roots_.remove(page).reset();
}

unsigned ShadowMmu::unmap(MemorySlot& slot, Gfn gfn) {
  unsigned dropped = 0;
  for (SpteRef ref = slot.rmap_of(gfn).first(); !ref.none(); ref = slot.rmap_of(gfn).first()) {
    clear(arena_->page(ref.page()), ref.entry());
    ++dropped;
  }
  return dropped;
}

bool ShadowMmu::write_protect(MemorySlot& slot, Gfn gfn) {
  bool any = false;
  for (SpteRef ref = slot.rmap_of(gfn).first(); !ref.none(); ref = link_of(ref).next) {
    ShadowPage& page = arena_->page(ref.page());
    const std::uint64_t spte = page.spte(ref.entry());
    if (!spte_writable(spte)) continue;
    page.set(ref.entry(), spte & ~(entry::writable | entry::dirty));
    ++events_.write_protected;
    any = true;
  }
  return any;
}

namespace {

/// The SPTEs of a shadow page that follow guest bytes [offset, offset + size).
struct SpteRange {
  unsigned first = 0;
  unsigned count = 0;
};

SpteRange followed_by(const Role& role, unsigned offset, unsigned size) {
  if (!role.has_4_byte_gpte) {
    return {offset / 8, (offset + size - 1) / 8 - offset / 8 + 1};
  }
  // A 4-byte entry stands for one SPTE at level 1 and for two at level 2; a
  // quadrant holds the SPTEs of 512 or 256 entries.
  const unsigned per_entry = role.level == 1 ? 1 : 2;
  const unsigned first = offset / 4 * per_entry;
  const unsigned last = (offset + size - 1) / 4 * per_entry + per_entry - 1;
  if (first / 512 != role.quadrant) return {};
  return {first % 512, last - first + 1};
}

}  // namespace

void ShadowMmu::zap_written(ShadowPage& page, unsigned offset, unsigned size) {
  const SpteRange range = followed_by(page.role, offset, size);
  for (unsigned i = 0; i < range.count; ++i) clear(page, range.first + i);
}

void ShadowMmu::guest_wrote(Gpa gpa, unsigned size) {
  const auto offset = static_cast<unsigned>(gpa & ~page_mask);
  hash_.for_each(gpa_to_gfn(gpa), [&](ShadowPage& page) {
    if (!page.role.direct) zap_written(page, offset, size);
  });
}

}  // namespace lockstep::impl
