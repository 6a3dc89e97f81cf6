// SPDX-License-Identifier: GPL-2.0-or-later
/// ShadowMmu: level-1 pages that may lag behind the guest's table, and stores to
/// tables that may not.
#include "impl/fault_steps.h"
#include "impl/mutants.h"
#include "impl/shadow_mmu.h"

namespace lockstep::impl {

bool ShadowMmu::try_to_unsync(MemorySlot& slot, Gfn gfn, bool can_unsync, bool prefetch) {
  if (slot.is_tracked(gfn)) return false;
  if (indirect_.value() == 0) return true;
  bool denied = false;
  hash_.for_each(gfn, [&](ShadowPage& page) {
    if (is_obsolete(page) || !page.shadows_table()) return;
    denied |= forbids_write<std::uint64_t>(can_unsync, prefetch, page.role.level, page.unsync);
  });
  if (denied) return false;
  hash_.for_each(gfn, [&](ShadowPage& page) {
    if (!is_obsolete(page) && page.shadows_table() && !page.unsync) mark_unsync(page);
  });
  return true;
}

void ShadowMmu::mark_unsync(ShadowPage& page) {
  page.unsync = true;
  page.unsync_token = Token(unsync_);
  ++events_.unsynced;
  if (!mutant(Mutant::unsync_parents_not_marked)) mark_parents(page);
}

void ShadowMmu::mark_parents(ShadowPage& page) {
  page.parents.for_each(rmaps(), [&](SpteRef ref) {
    ShadowPage& parent = page_of(ref);
    // Who has such a child already is known to its own parents.
    const bool first = parent.unsync_children.count() == 0;
    if (parent.unsync_children.set(ref.entry()) && first) mark_parents(parent);
  });
}

void ShadowMmu::unlink_unsync(ShadowPage& page) {
  page.unsync = false;
  page.unsync_token = Token{};
  ++events_.synced;
}

void ShadowMmu::sync_tree(FaultContext& context, ShadowPage& root) {
  if (root.unsync_children.count() == 0) return;
  ZapBatch batch(*this);
  bool flush = false;
  each_unsync(root, [&](ShadowPage& page) {
    // Stores through TLBs must end before the table is read. KVM: mmu_sync_children().
    MemorySlot* slot = slots_->by_gfn(page.gfn);
    const bool writable = slot != nullptr && !mutant(Mutant::sync_without_protection) &&
                          write_protect(*slot, page.gfn, 1, /*for_good=*/true);
    if (writable && !mutant(Mutant::sync_before_flush)) request_flush();
    flush |= writable;
    unlink_unsync(page);
    const Synced synced = sync_entries(context, page);
    if (synced == Synced::unfit) zap(batch, page);
    flush |= synced == Synced::changed;
  });
  if (flush) request_flush();
}

ShadowMmu::Synced ShadowMmu::sync_entries(FaultContext& context, ShadowPage& page) {
  if (!context.tables.can_judge(page.role)) return Synced::unfit;
  bool flush = false;
  page.for_each_used([&](unsigned entry) {
    const std::uint64_t old = page.spte(entry);
    const auto guest = context.tables.leaf(page, entry);
    if (!spte_present(old)) {
      const GuestLeaf said = guest.value_or(GuestLeaf{});
      write(page, entry,
            synced_mmio(mmio::layout<std::uint64_t>(), old, guest.has_value(), said.gfn,
                        page.role.access & said.access, slots_->generation()));
      return;
    }
    const Rights access = guest ? page.role.access & guest->access : Rights{0};
    const bool same_gfn =
        guest && (guest->gfn == page.gfn_at(entry) || mutant(Mutant::sync_keeps_old_gfn));
    MemorySlot* slot = same_gfn ? slots_->by_gfn(page.gfn_at(entry)) : nullptr;
    if (slot == nullptr) {
      drop_leaf(page, entry);
      flush = true;
      return;
    }
    const Mapping mapping{.slot = *slot,
                          .gfn = page.gfn_at(entry),
                          .frame = spte_frame(old),
                          .host_writable = (old & spte::host_writable) != 0,
                          .access = access};
    bool denied = false;
    const std::uint64_t now = make_leaf(context, page, old, mapping, /*sync=*/true, denied);
    page.set_translation(entry, mapping.gfn, access);
    keep_dirty(mapping.slot, mapping.gfn, page.role.level, write(page, entry, now), now);
    flush |= loses_rights(old, now);
  });
  return flush ? Synced::changed : Synced::same;
}

void ShadowMmu::invalidate_address(ShadowPage& root, Gva gva) {
  if (mutant(Mutant::invlpg_does_not_sync)) return;
  for (ShadowPage* page = &root; page != nullptr;) {
    const unsigned level = page->role.level;
    const unsigned entry = spte_index(gva, level);
    const std::uint64_t spte = page->spte(entry);
    if (spte_present(spte) && !spte_leaf(spte, level)) {
      if (page->unsync_children.count() == 0) return;
      page = &child(*page, entry);
      continue;
    }
    // A page that does not lag behind says what the guest's table says.
    if (page->unsync) clear(*page, entry);
    return;
  }
}

namespace {

/// followed_entries(), or a defect of it.
FollowedEntries<std::uint64_t> followed_by(const Role& role, unsigned offset, unsigned size) {
  auto range = followed_entries<std::uint64_t>(role.has_4_byte_gpte, role.level, role.quadrant,
                                               offset, size);
  const bool two = role.has_4_byte_gpte && role.level == 2 && range.count != 0;
  if (two && mutant(Mutant::second_half_not_zapped)) --range.count;
  return range;
}

/// Stores in a row, none of them followed by a use, after which the page is taken
/// for a table no longer. KVM: detect_write_flooding().
constexpr unsigned flood = 3;

}  // namespace

void ShadowMmu::zap_written(ShadowPage& page, unsigned offset, unsigned size) {
  const auto range = followed_by(page.role, offset, size);
  for (std::uint64_t i = 0; i < range.count; ++i) {
    clear(page, static_cast<unsigned>(range.first + i));
  }
}

void ShadowMmu::guest_wrote(Gpa gpa, unsigned size) {
  if (indirect_.value() == 0 || mutant(Mutant::emulated_write_not_zapped)) return;
  const auto offset = static_cast<unsigned>(gpa & ~page_mask);
  const Gfn gfn = gpa_to_gfn(gpa);
  ZapBatch batch(*this);
  for (bool again = true; again;) {
    again = false;
    ShadowPage* unused = nullptr;
    hash_.for_each(gfn, [&](ShadowPage& page) {
      if (page.shadows_table() && !is_obsolete(page) &&
          misaligned_store<std::uint64_t>(page.role.has_4_byte_gpte, offset, size)) {
        unused = &page;
      }
    });
    if (unused == nullptr) break;
    zap(batch, *unused);
    again = true;
  }
  ShadowPage* flooded = nullptr;
  hash_.for_each(gfn, [&](ShadowPage& page) {
    if (!page.shadows_table() || is_obsolete(page)) return;
    if (page.role.level > 1 && ++page.write_flooding >= flood) flooded = &page;
    zap_written(page, offset, size);
  });
  if (flooded == nullptr) return;
  ++events_.flooded;
  zap(batch, *flooded);
}

}  // namespace lockstep::impl
