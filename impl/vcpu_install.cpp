// SPDX-License-Identifier: GPL-2.0-or-later
/// Vcpu: the tables between a root and what a fault maps.
#include <algorithm>

#include "impl/mutants.h"
#include "impl/vcpu.h"

namespace lockstep::impl {

/// The level at which the fault maps its page, at most `most`; `could_be` is the
/// level that it would have without the iTLB multihit mitigation.
/// KVM: kvm_mmu_hugepage_adjust().
unsigned Vcpu::goal_level(const Target& target, unsigned most, unsigned& could_be) const {
  could_be = 1;
  // Written pages are logged one by one.
  if (target.slot == nullptr || (target.slot->log && !mutant(Mutant::huge_write_logged_as_one))) {
    return 1;
  }
  could_be = vm_->mapping_level(*target.slot, target.gfn, most);
  const bool no_huge = vm_->settings().nx_huge_pages && target.kind == AccessKind::fetch &&
                       !mutant(Mutant::nx_huge_executable);
  return no_huge ? 1 : could_be;
}

Mapping Vcpu::mapping_of(const Target& target, unsigned level) {
  const Hfn frame = vm_->memory().frame(target.hva);
  return {.slot = *target.slot,
          .gfn = level_base(target.gfn, level),
          .frame = level_base(frame, level),
          .host_writable = target.host_writable,
          .access = target.access};
}

Role Vcpu::child_role(const GuestWalk& walk, unsigned level, Gva gva, Rights leaf_access) const {
  const bool direct = level < walk.leaf_level;
  auto quadrant = quadrant_of_address<std::uint64_t>(gva, 1);
  if (base_.has_4_byte_gpte && mutant(Mutant::quadrant_lost)) quadrant = 0;
  if (base_.has_4_byte_gpte && mutant(Mutant::quadrant_by_top_bit)) quadrant = (gva >> 29) & 1;
  if (base_.has_4_byte_gpte && mutant(Mutant::quadrant_of_directory)) {
    quadrant = quadrant_of_address<std::uint64_t>(gva, 2);
  }
  Role role =
      impl::child_role(base_, {.level = static_cast<std::uint8_t>(level),
                               .direct = direct,
                               .access = direct ? leaf_access : walk.rights_through[level + 1],
                               .quadrant = static_cast<std::uint8_t>(quadrant)});
  if (mutant(Mutant::role_forgets_access)) role.access = rights::all;
  return role;
}

Expected<ShadowPage*> Vcpu::descend_shadow(ShadowMmu& mmu, ShadowPage& from, unsigned entry,
                                           Gfn gfn, const Role& role) {
  const std::uint64_t spte = from.spte(entry);
  if (spte_present(spte) && !spte_leaf(spte, from.role.level)) {
    ShadowPage& below = mmu.child(from, entry);
    if (below.gfn == gfn && below.role == role) return &below;
  }
  FaultContext with = context();
  auto page = mmu.get_shadow(with, gfn, role);
  if (!page) return page;
  // Its own children may lag behind; the guest expects none to, on a path that no
  // TLB can know. KVM: FNAME(fetch), mmu_sync_children().
  mmu.sync_tree(with, **page);
  if (auto linked = mmu.link(caches_.rmaps, from, entry, **page); !linked) {
    return fail(linked.error());
  }
  return page;
}

Expected<ShadowPage*> Vcpu::descend_direct(ShadowMmu& mmu, ShadowPage& from, unsigned entry,
                                           Gfn gfn, const Role& role) {
  const std::uint64_t spte = from.spte(entry);
  if (spte_present(spte) && !spte_leaf(spte, from.role.level)) {
    ShadowPage& below = mmu.child(from, entry);
    if (below.gfn == gfn && below.role == role) return &below;
  }
  auto page = mmu.get_direct(caches_.pages, gfn, role);
  if (!page) return page;
  if (auto linked = mmu.link(caches_.rmaps, from, entry, **page); !linked) {
    return fail(linked.error());
  }
  return page;
}

/// The leaf, or the mark of an MMIO page.
Expected<ShadowMmu::Mapped> Vcpu::finish(ShadowMmu& mmu, ShadowPage& page, unsigned entry,
                                         const Target& target) {
  if (target.slot == nullptr) {
    mmu.map_mmio(page, entry, target.gfn, target.access);
    return ShadowMmu::Mapped::done;
  }
  if (page.role.level > 1) ++events_.huge;
  FaultContext with = context();
  return mmu.map(with, page, entry, mapping_of(target, page.role.level));
}

/// The guest's entry of the level is no longer what the walk read: somebody stored to it
/// before its table was write-protected. KVM: FNAME(gpte_changed).
bool Vcpu::entry_changed(const GuestWalk& walk, unsigned level) const {
  if (level < walk.leaf_level || level > tables_.root || mutant(Mutant::walk_not_repeated)) {
    return false;
  }
  const Vm::Place at = vm_->place(walk.entry_gpa[level]);
  return !at || vm_->memory().load(at.hva, tables_.entry_bytes) != walk.entry[level];
}

Expected<Vcpu::Installed> Vcpu::install(ShadowMmu& mmu, const GuestWalk& walk, Gva gva,
                                        const Target& target) {
  if (roots_.start(gva) == nullptr) {
    if (!roots_.quartered()) return Installed::retry;
    if (auto loaded = load_quarter(mmu, gva); !loaded) return fail(loaded.error());
  }
  ShadowPage* page = roots_.start(gva);
  if (page == nullptr) return Installed::retry;
  unsigned goal = 0;
  unsigned could_be = 1;
  for (;;) {
    const unsigned level = page->role.level;
    const unsigned entry = spte_index(gva, level);
    if (entry_changed(walk, level)) return Installed::retry;
    page->write_flooding = 0;
    if (level <= walk.leaf_level) {
      // Only now: the tables above may have forbidden a huge page by being there.
      if (goal == 0) goal = std::min(level, goal_level(target, walk.leaf_level, could_be));
      const std::uint64_t spte = page->spte(entry);
      if (level == goal && level > 1 && spte_present(spte) && !spte_leaf(spte, level) &&
          mmu.child(*page, entry).no_huge) {
        --goal;  // code runs below: KVM disallowed_hugepage_adjust()
      }
      if (level == goal) break;
    }
    const Role role = child_role(walk, level - 1, gva, target.access);
    Expected<ShadowPage*> next =
        role.direct
            ? descend_direct(mmu, *page, entry, level_base(target.gfn, level), role)
            : descend_shadow(mmu, *page, entry, gpa_to_gfn(walk.entry_gpa[level - 1]), role);
    if (!next) return fail(next.error());
    if (role.direct && goal < could_be && could_be >= level) mmu.nx().add(**next);
    page = *next;
  }
  const auto mapped = finish(mmu, *page, spte_index(gva, page->role.level), target);
  if (!mapped) return fail(mapped.error());
  return *mapped == ShadowMmu::Mapped::done ? Installed::done : Installed::write_denied;
}

Expected<Vcpu::Installed> Vcpu::install_direct(ShadowMmu& mmu, const Target& target) {
  ShadowPage* page = roots_.start(0);
  if (page == nullptr) return Installed::retry;
  const Gpa gpa = gfn_to_gpa(target.gfn);
  unsigned could_be = 1;
  unsigned goal = goal_level(target, leaf_levels, could_be);
  for (;;) {
    const unsigned level = page->role.level;
    const unsigned entry = spte_index(gpa, level);
    const std::uint64_t spte = page->spte(entry);
    if (level == goal && level > 1 && spte_present(spte) && !spte_leaf(spte, level) &&
        mmu.child(*page, entry).no_huge) {
      --goal;
    }
    if (level == goal) break;
    Role role = base_;
    role.level = static_cast<std::uint8_t>(level - 1);
    auto next = descend_direct(mmu, *page, entry, level_base(target.gfn, level), role);
    if (!next) return fail(next.error());
    if (goal < could_be && could_be >= level) mmu.nx().add(**next);
    page = *next;
  }
  const auto mapped = finish(mmu, *page, spte_index(gpa, page->role.level), target);
  if (!mapped) return fail(mapped.error());
  return *mapped == ShadowMmu::Mapped::done ? Installed::done : Installed::write_denied;
}

Expected<Vcpu::Installed> Vcpu::install_tdp(TdpMmu& tdp, const Target& target) {
  unsigned could_be = 1;
  const unsigned level = goal_level(target, leaf_levels, could_be);
  if (level > 1) ++events_.huge;
  const auto mapped = tdp.map(caches_, dirty_, tdp_root_.page(), mapping_of(target, 1),
                              {.level = level, .no_huge = level < could_be, .could_be = could_be});
  if (!mapped) return fail(mapped.error());
  switch (*mapped) {
    case TdpMmu::Mapped::done:
      return Installed::done;
    case TdpMmu::Mapped::write_denied:
      return Installed::write_denied;
    case TdpMmu::Mapped::retry:
      break;
  }
  return Installed::retry;
}

}  // namespace lockstep::impl
