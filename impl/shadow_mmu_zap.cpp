// SPDX-License-Identifier: GPL-2.0-or-later
/// ShadowMmu: unmaking pages, one, some or all of them.
#include "impl/mutants.h"
#include "impl/shadow_mmu.h"

namespace lockstep::impl {

void ShadowMmu::zap(ZapBatch& batch, ShadowPage& page) {
  if (page.invalid) return;
  if (page.role.level > 1) {
    each_unsync(page, [&](ShadowPage& below) { zap(batch, below); });
  }
  page.for_each_used([&](unsigned entry) { clear(page, entry); });
  for (SpteRef parent = page.parents.first(rmaps()); !parent.none();
       parent = page.parents.first(rmaps())) {
    clear(page_of(parent), parent.entry());
  }
  hash_.erase(page);
  if (mutant(Mutant::tracking_kept)) page.shadowed.tracked.leak();
  page.shadowed = ShadowedGfn{};
  page.unsync = false;
  page.unsync_token = Token{};
  nx_.remove(page);
  ++events_.pages_zapped;
  ++batch.pages_;
  const bool fresh = !is_obsolete(page);
  ShadowPagePtr owned = active_.remove(page);
  page.invalid = true;
  if (!page.is_root()) {
    page.charge = PageCharge{};
    batch.doomed_.add(std::move(owned));
    return;
  }
  zapped_roots_.add(std::move(owned));
  // Only after the mark, or a vCPU might not see it. Obsolete roots were told of
  // when they became so.
  if (fresh) obsolete_generation_.fetch_add(1, std::memory_order_release);
}

void ShadowMmu::zap(ShadowPage& page) {
  ZapBatch batch(*this);
  zap(batch, page);
}

void ShadowMmu::commit(ZapBatch& batch) {
  if (batch.pages_ == 0) return;
  if (!mutant(Mutant::zapped_pages_without_flush)) request_flush();
  while (ShadowPage* page = batch.doomed_.oldest()) batch.doomed_.remove(*page).reset();
}

void ShadowMmu::zap_slot(MemorySlot& slot) {
  ZapBatch batch(*this);
  unmap_range(slot, slot.base, slot.base + slot.pages);
  if (mutant(Mutant::slot_table_kept)) return;
  // What shadows a table in the slot is accounted there and must go with it
  // (fcd1ec9cb59c).
  const auto shadows_slot = [&](const ShadowPage& page) {
    return page.shadows_table() && slot.contains(page.gfn);
  };
  for (ShadowPage* page = active_.oldest(); page != nullptr;) {
    ShadowPage* younger = page->list_previous;
    const unsigned before = batch.pages();
    if (shadows_slot(*page)) zap(batch, *page);
    // Pages below may have gone too: then nothing is known of the list.
    page = batch.pages() > before + 1 ? active_.oldest() : younger;
  }
}

std::uint64_t ShadowMmu::zap_oldest(std::uint64_t pages) {
  ZapBatch batch(*this);
  for (ShadowPage* page = active_.oldest(); page != nullptr && batch.pages() < pages;) {
    ShadowPage* younger = page->list_previous;
    const unsigned before = batch.pages();
    if (!page->is_root() || mutant(Mutant::reclaim_zaps_roots)) zap(batch, *page);
    page = batch.pages() > before + 1 ? active_.oldest() : younger;
  }
  events_.recycled += batch.pages();
  return batch.pages();
}

Expected<void> ShadowMmu::make_available(std::uint64_t pages) {
  if (counter_.available() >= pages) return {};
  // Some more than asked for, so that not every fault reclaims. KVM:
  // KVM_REFILL_PAGES.
  constexpr std::uint64_t refill = 25;
  const std::uint64_t wanted = pages > refill ? pages : refill;
  zap_oldest(wanted - counter_.available());
  if (counter_.available() == 0) return fail(Error::no_space);
  return {};
}

void ShadowMmu::set_page_limit(std::uint64_t pages) {
  counter_.set_limit(pages);
  if (counter_.used() > pages) zap_oldest(counter_.used() - pages);
}

void ShadowMmu::drop_root(ShadowPage& page) {
  if (!page.is_root() && page.invalid) zapped_roots_.remove(page).reset();
}

}  // namespace lockstep::impl
