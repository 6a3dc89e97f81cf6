// SPDX-License-Identifier: GPL-2.0-or-later
/// ShadowMmu: huge leaves become small ones, and tables of small ones go so that
/// huge ones may come back.
#include "impl/mutants.h"
#include "impl/shadow_mmu.h"

namespace lockstep::impl {

std::optional<SpteRef> ShadowMmu::huge_leaf(MemorySlot& slot, Gfn first, Gfn end) {
  if (!slot.has_rmaps()) return std::nullopt;
  for (unsigned level = leaf_levels; level > 1; --level) {
    for (Gfn gfn = level_base(first, level); gfn < end; gfn += pages_of(level)) {
      const SpteRef ref = slot.rmap_of(gfn < slot.base ? slot.base : gfn, level).first(rmaps());
      if (!ref.none()) return ref;
    }
  }
  return std::nullopt;
}

Expected<void> ShadowMmu::split(MemoryCache& pages, SplitRmapCache& rmap_cache, ShadowPage& page,
                                unsigned entry) {
  const std::uint64_t huge = page.spte(entry);
  const unsigned level = page.role.level;
  const Gfn gfn = level_base(page.gfn_at(entry), level);
  MemorySlot* slot = slots_->by_gfn(page.gfn_at(entry));
  if (slot == nullptr || !spte_present(huge) || !spte_leaf(huge, level)) return {};
  // The SPTE's place in its page is that of its address in the table.
  const auto quadrant = quadrant_of_child<std::uint64_t>(entry * sizeof(std::uint64_t));
  const Role role = child_role(page.role, {.level = static_cast<std::uint8_t>(level - 1),
                                           .direct = true,
                                           .access = page.access_at(entry),
                                           .quadrant = static_cast<std::uint8_t>(quadrant)});
  auto lower = get_direct(pages, gfn, role);
  if (!lower) return fail(lower.error());
  ShadowPage& table = **lower;
  for (unsigned i = 0; i < 512; ++i) {
    // The table may have been there and map some of it already.
    if (spte_present(table.spte(i))) continue;
    const Gfn small = gfn + i * pages_of(level - 1);
    const SpteRef self(table.index(), i);
    if (auto added = slot->rmap_of(small, level - 1).add(rmap_cache, self); !added) return added;
    const unsigned piece = mutant(Mutant::split_maps_first)       ? 0
                           : mutant(Mutant::split_rounds_to_even) ? i & ~1u
                                                                  : i;
    std::uint64_t spte = split_spte(huge, level, piece);
    if (mutant(Mutant::split_gains_write)) spte |= entry::writable | entry::dirty;
    write(table, i, spte);
  }
  // The link takes the huge leaf's place, and its last descriptor.
  clear(page, entry);
  const SpteRef self(page.index(), entry);
  if (auto added = table.parents.add(rmap_cache, self); !added) return added;
  write(page, entry, nonleaf_spte(table.frame()));
  ++events_.split;
  return {};
}

}  // namespace lockstep::impl
