// SPDX-License-Identifier: GPL-2.0-or-later
/// Variables and invariants of the template machine.
#pragma once

#include "smt/refinement/machine.h"

namespace lockstep::smt::refinement {

/// The machine with a variable for everything.
template <typename P>
Machine<P> any_machine(PagingMode mode) {
  using B = typename P::Bool;
  Machine<P> m;
  m.mode = mode;
  const auto word = [](std::string name) { return P::word(std::move(name)); };
  const auto flag = [](std::string name) -> B { return P::boolean(std::move(name)); };
  m.maxphyaddr = word("maxphyaddr");
  m.dirty_bits = flag("dirty-bits");
  m.generation = word("generation");
  m.shares = flag("vcpu1.shares-page0");
  for (std::size_t i = 0; i < slot_count; ++i) {
    const std::string name = "slot" + std::to_string(i);
    m.exists[i] = flag(name + ".exists");
    m.read_only[i] = flag(name + ".read-only");
    m.log[i] = flag(name + ".log");
  }
  for (std::size_t i = 0; i < gfn_count; ++i) {
    const std::string name = "gfn" + std::to_string(i);
    m.frame[i] = word(name + ".host-frame");
    m.refused[i] = flag(name + ".host-protected");
    m.dirty[i] = flag(name + ".dirty");
    m.written[i] = flag(name + ".written");
    m.tracked[i] = flag(name + ".tracked");
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string name = "page" + std::to_string(i);
    auto& page = m.pages[i];
    page.exists = flag(name + ".exists");
    page.table = word(name + ".table-gfn");
    page.role.level = 1;
    page.role.quadrant = word(name + ".role.quadrant");
    page.role.access = word(name + ".role.access");
    page.role.direct = m.direct();
    page.role.has_4_byte_gpte = m.narrow();
    page.role.cr0_wp = flag(name + ".role.cr0.wp");
    page.role.smep_andnot_wp = flag(name + ".role.smep-andnot-wp");
    page.role.smap_andnot_wp = flag(name + ".role.smap-andnot-wp");
    page.role.efer_nx = flag(name + ".role.efer.nx");
    page.role.cr4_pse = flag(name + ".role.cr4.pse");
    page.guest = word(name + ".guest-entry");
    page.unsync = flag(name + ".unsync");
    page.spte = word(name + ".spte");
    page.gfn = word(name + ".spte-gfn");
    page.seen = word(name + ".spte-made-from");
  }
  for (std::size_t i = 0; i < vcpu_count; ++i) {
    const std::string name = "vcpu" + std::to_string(i);
    auto& cpu = m.cpus[i];
    cpu.registers = {flag(name + ".cr0.wp"), flag(name + ".cr4.smep"), flag(name + ".cr4.smap"),
                     flag(name + ".efer.nx"), flag(name + ".cr4.pse")};
    for (unsigned level = 2; level <= levels_of(mode); ++level) {
      cpu.upper[level] = word(name + ".entry-level" + std::to_string(level));
    }
    cpu.upper_table = word(name + ".level2-table-gfn");
    cpu.quadrant = word(name + ".quadrant");
    cpu.linked = flag(name + ".linked");
    cpu.cached = flag(name + ".tlb");
    cpu.tlb = word(name + ".tlb-spte");
    cpu.owed = flag(name + ".flush-owed");
    for (std::size_t page = 0; page < 2; ++page) {
      cpu.admits[page] = flag(name + ".history-admits-page" + std::to_string(page));
    }
  }
  return m;
}

/// What can be said of values without a rule: widths, and what the template
/// leaves out.
template <typename P>
typename P::Bool well_formed(const Machine<P>& m) {
  using W = typename P::Word;
  using B = typename P::Bool;
  B good = m.maxphyaddr >= 32 && m.maxphyaddr <= 51;
  for (const auto& frame : m.frame) good = good && frame < (1ull << 39);
  good = good && m.generation < (1ull << 62) && (m.generation & 1) == 0;
  const W limit = m.narrow() ? W(1ull << 32) : W(~0ull);
  for (const auto& page : m.pages) {
    good = good && page.gfn < (1ull << 39) && page.guest <= limit && page.seen <= limit &&
           page.role.quadrant <= 3 && page.role.access <= impl::rights::all &&
           page.table < (1ull << 52);
    if (m.narrow()) good = good && page.guest < limit && page.seen < limit && !page.role.efer_nx;
  }
  for (const auto& cpu : m.cpus) {
    good = good && cpu.quadrant <= 3 && cpu.upper_table < gfn_count;
    // MAXPHYADDR counts 4-level walks; large pages of the guest are left out.
    const auto format = m.format(cpu.registers.nx, cpu.registers.pse);
    for (unsigned level = 2; level <= levels_of(m.mode); ++level) {
      good =
          good && !spec::entry_maps_page(format, static_cast<TableLevel>(level), cpu.upper[level]);
      if (m.narrow()) good = good && cpu.upper[level] < limit;
    }
  }
  return good;
}

/// The invariants, each by a name that a counterexample shows.
template <typename P>
struct Invariants {
  using B = typename P::Bool;
  B sptes_follow_guest = true;   ///< an SPTE was made from the guest's entry, or lags and may
  B sptes_grant_no_more = true;  ///< than that entry, the role, the host and the slot
  B writes_are_seen = true;      ///< writable: logged, no table that the MMU would not hear of
  B mmio_entries_true = true;    ///< an MMIO entry of this generation has no slot
  B links_follow_guest = true;   ///< a link has the role and table of the guest's walk
  B tlbs_covered = true;         ///< a cached translation is covered by the SPTE, or a flush owed
  B written_is_reported = true;  ///< what was written is in the bitmap, or in a D bit

  B all() const {
    return sptes_follow_guest && sptes_grant_no_more && writes_are_seen && mmio_entries_true &&
           links_follow_guest && tlbs_covered && written_is_reported;
  }
};

template <typename P>
Invariants<P> invariants(const Machine<P>& m) {
  using W = typename P::Word;
  using B = typename P::Bool;
  Invariants<P> inv;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& page = m.pages[i];
    const auto& role = page.role;
    const B present = impl::spte_present(page.spte);
    const B mmio = !present && impl::is_mmio<W>(impl::mmio::layout<W>(), page.spte);
    const B used = present || mmio;
    const auto format = m.format(role.efer_nx, role.cr4_pse);
    const W target = m.target_of(page);

    // Made from a usable entry, which is the guest's still unless the page lags.
    // Not accessed where the table stands in a read-only slot.
    B follows = (page.seen & entry::present) != 0 &&
                (page.seen & spec::entry_reserved(format, TableLevel::pt, page.seen)) == 0;
    follows = follows && implies(!page.unsync, same_but_flags<W>(page.seen, page.guest));
    for (std::size_t v = 0; v < vcpu_count; ++v) {
      follows = follows && implies(m.uses(v, i) && m.cpus[v].linked,
                                   m.cpus[v].admits[i] || same_but_flags<W>(page.seen, page.guest));
    }
    if (m.direct()) follows = true;
    inv.sptes_follow_guest = inv.sptes_follow_guest && implies(used, page.exists && follows) &&
                             implies(!used, page.spte == 0) &&
                             implies(page.exists && !m.direct(), m.in_slot(page.table)) &&
                             implies(!page.exists, !page.unsync) &&
                             implies(role.cr0_wp, !role.smep_andnot_wp && !role.smap_andnot_wp);

    const auto guest = m.grant_of(role.access, page.seen, role.efer_nx);
    const auto given = hardware_grant<P>(page.spte);
    const B dirty = m.counts_as_dirty(page);
    const B plain = implies(given.writable, guest.writable && dirty) && given.user == guest.user &&
                    given.executable == guest.executable;
    // CR0.WP=0: the supervisor writes a read-only page, which is no user page then,
    // nor after write access was taken again.
    const B exchanged = !guest.writable && !given.user && implies(given.writable, dirty) &&
                        !role.cr0_wp &&
                        given.executable == (guest.executable && !role.smep_andnot_wp);
    const B host = (page.spte & impl::spte::host_writable) != 0;
    const B place = page.gfn == target && m.in_slot(target) &&
                    impl::spte_frame(page.spte) == m.at(m.frame, target) &&
                    (page.spte & entry::present) != 0 &&
                    (page.spte & (entry::page_size | impl::spte::mmio)) == 0 &&
                    implies(host, !m.of_slot(m.read_only, target) && !m.at(m.refused, target)) &&
                    implies(given.writable, host);
    inv.sptes_grant_no_more =
        inv.sptes_grant_no_more && implies(present, (plain || exchanged) && place);

    // Whoever can write a table without a fault must lag behind by his own account.
    // So does who may give write access back without asking.
    const B logged = implies(m.of_slot(m.log, target) && !m.dirty_bits, m.at(m.dirty, target));
    B untracked = !m.at(m.tracked, target);
    for (const auto& table : m.pages) {
      untracked = untracked && implies(m.shadows(table, target), table.unsync);
    }
    const B restorable = (page.spte & impl::spte::mmu_writable) != 0;
    inv.writes_are_seen = inv.writes_are_seen && implies(present && given.writable, logged) &&
                          implies(present && (given.writable || restorable), untracked && host);

    const W layout_gfn = impl::decode_mmio_gfn<W>(impl::mmio::layout<W>(), page.spte);
    const W rights = impl::decode_mmio_access<W>(impl::mmio::layout<W>(), page.spte);
    const B current = impl::mmio_hit<W>(impl::mmio::layout<W>(), page.spte, m.generation);
    // Of this period: what is older than a wrap is gone.
    const W made = impl::decode_mmio_generation<W>(impl::mmio::layout<W>(), page.spte);
    const W now = m.generation & impl::mmio::generation_mask;
    inv.mmio_entries_true =
        inv.mmio_entries_true &&
        implies(mmio,
                layout_gfn == target && made <= now && implies(current, !m.in_slot(target)) &&
                    implies((rights & impl::rights::writable) != 0, guest.writable && dirty) &&
                    ((rights & impl::rights::user) != 0) == guest.user);
  }

  for (std::size_t v = 0; v < vcpu_count; ++v) {
    const auto& cpu = m.cpus[v];
    const auto format = m.format(cpu.registers.nx, cpu.registers.pse);
    B walk = true;
    W access = impl::rights::all;
    for (unsigned level = levels_of(m.mode); level >= 2; --level) {
      const W value = cpu.upper[level];
      walk = walk && (value & entry::present) != 0 &&
             (value & spec::entry_reserved(format, static_cast<TableLevel>(level), value)) == 0;
      access = access & impl::entry_rights<W>(value, m.nx_mask(m.nx_works(cpu.registers)));
    }
    const W table = spec::entry_target(format, TableLevel::pd, cpu.upper[2]) >> page_shift;
    const auto role = m.role_of(cpu, access);
    if (m.direct()) {
      B exists = true;
      for (std::size_t i = 0; i < 2; ++i) {
        exists = exists && implies(m.uses(v, i), m.pages[i].exists);
      }
      inv.links_follow_guest = inv.links_follow_guest && implies(cpu.linked, exists);
    }
    B link = walk && m.in_slot(cpu.upper_table) && m.at(m.tracked, cpu.upper_table);
    // Hardware caches nothing that has a reserved bit.
    B covered = impl::spte_present(cpu.tlb) &&
                (cpu.tlb & (entry::present | impl::spte::mmio)) == entry::present;
    for (std::size_t i = 0; i < 2; ++i) {
      const auto& page = m.pages[i];
      link = link && implies(m.uses(v, i), page.exists && page.table == table && page.role == role);
      covered = covered && implies(m.uses(v, i), impl::spte_present(page.spte) &&
                                                     !impl::loses_rights<W>(cpu.tlb, page.spte) &&
                                                     !impl::loses_dirty<W>(cpu.tlb, page.spte));
    }
    if (!m.direct()) {
      inv.links_follow_guest = inv.links_follow_guest && implies(cpu.linked, link);
    }
    inv.tlbs_covered = inv.tlbs_covered && implies(cpu.cached && !cpu.owed, cpu.linked && covered);
  }

  for (std::size_t gfn = 0; gfn < gfn_count; ++gfn) {
    B reported = m.dirty[gfn];
    for (const auto& page : m.pages) {
      reported = reported ||
                 (m.dirty_bits && impl::spte_present(page.spte) && impl::spte_writable(page.spte) &&
                  page.gfn == W(gfn) && (page.spte & entry::dirty) != 0);
    }
    inv.written_is_reported =
        inv.written_is_reported && implies(m.written[gfn] && m.log[gfn / 2], reported);
  }
  return inv;
}

}  // namespace lockstep::smt::refinement
