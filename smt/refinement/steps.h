// SPDX-License-Identifier: GPL-2.0-or-later
/// What the implementation does to the template machine: parts that commands
/// share. Each name is that of the function of impl/ whose plumbing it restates.
#pragma once

#include "impl/memslot.h"
#include "impl/wp_exchange.h"
#include "smt/refinement/machine.h"

namespace lockstep::smt::refinement {

template <typename P>
class Steps {
 public:
  using B = typename P::Bool;
  using W = typename P::Word;

  explicit Steps(Machine<P>& machine) : m(machine) {}

  /// ShadowMmu::request_flush().
  void request_flush(const B& when) {
    for (auto& cpu : m.cpus) cpu.owed = cpu.owed || when;
  }

  /// DirtyMarker::mark().
  void mark(const W& gfn, const B& when) {
    m.set(m.dirty, gfn, when && m.of_slot(m.log, gfn), true);
  }

  /// ShadowMmu::keep_dirty().
  void keep_dirty(const ShadowLeaf<P>& page, const W& old, const W& now, const B& when) {
    mark(page.gfn, when && m.dirty_bits && impl::loses_dirty<W>(old, now));
  }

  /// ShadowMmu::clear(), of a leaf or an MMIO entry.
  void clear(std::size_t i, const B& when) {
    auto& page = m.pages[i];
    const B present = when && impl::spte_present(page.spte);
    keep_dirty(page, page.spte, 0, present);
    page.spte = ite(when, W(0), page.spte);
    request_flush(present);
  }

  /// ShadowMmu::zap().
  void zap(std::size_t i, const B& when) {
    auto& page = m.pages[i];
    clear(i, when);
    for (std::size_t v = 0; v < vcpu_count; ++v) {
      m.cpus[v].linked = m.cpus[v].linked && !(when && m.uses(v, i));
    }
    page.exists = page.exists && !when;
    page.unsync = page.unsync && !when;
    request_flush(when);
  }

  /// ShadowMmu::write_protect().
  B write_protect(const W& gfn, const B& for_good, const B& when) {
    B any = false;
    for (auto& page : m.pages) {
      const B here = when && impl::spte_present(page.spte) && page.gfn == gfn;
      const W now = impl::write_protected<W>(page.spte, for_good);
      mark(gfn, here && m.dirty_bits && (page.spte & entry::dirty) != 0 && now != page.spte);
      any = any || (here && impl::spte_writable(page.spte));
      page.spte = ite(here, now, page.spte);
    }
    return any;
  }

  /// Vcpu::fast_fault(): whether write access came back.
  B fast_fault(const B& when, bool logs) {
    auto& page = m.pages[0];
    const B restores = when && impl::spte_present(page.spte) && impl::may_restore_write(page.spte);
    page.spte = ite(restores, impl::with_write(page.spte), page.spte);
    if (logs) mark(page.gfn, restores);
    return restores;
  }

  /// ShadowMmu::take_dirty_bits().
  B take_dirty_bits(const W& gfn, const B& when) {
    B any = false;
    for (auto& page : m.pages) {
      const B here = when && impl::spte_present(page.spte) && page.gfn == gfn;
      const W now = impl::without_dirty<W>(page.spte);
      any = any || (here && now != page.spte);
      page.spte = ite(here, now, page.spte);
    }
    return any;
  }

  /// Vm::rearm().
  void rearm(const W& gfn, const B& when, bool flushes) {
    const B bits = take_dirty_bits(gfn, when && m.dirty_bits);
    const B rights = write_protect(gfn, /*for_good=*/false, when && !m.dirty_bits);
    if (flushes) request_flush(bits || rights);
  }

  /// ShadowMmu::unmap().
  void unmap(const W& gfn, const B& when) {
    for (std::size_t i = 0; i < 2; ++i) {
      clear(i, when && impl::spte_present(m.pages[i].spte) && m.pages[i].gfn == gfn);
    }
  }

  /// ShadowMmu::try_to_unsync(): whether it is allowed, and what is unsync then.
  B try_to_unsync(const W& gfn, const B& can_unsync, const B& prefetch, const B& when) {
    B denied = m.at(m.tracked, gfn);
    for (const auto& page : m.pages) {
      denied = denied || (m.shadows(page, gfn) &&
                          impl::forbids_write<W>(can_unsync, prefetch, 1, page.unsync));
    }
    for (auto& page : m.pages) {
      page.unsync = page.unsync || (when && !denied && m.shadows(page, gfn));
    }
    return !denied;
  }

  /// What a leaf is made from.
  struct Mapping {
    W gfn, frame, access;
    B host_writable;
    bool tracking_ignored = false;  ///< a twin
  };

  /// ShadowMmu::make_leaf().
  W make_leaf(const Mapping& mapping, const W& old, bool sync, const B& when, B& denied) {
    impl::LeafRequest<W> leaf{.level = 1,
                              .frame = mapping.frame,
                              .access = mapping.access,
                              .host_writable = mapping.host_writable,
                              .read_only = m.of_slot(m.read_only, mapping.gfn)};
    const B asks = impl::asks_for_write<W>(leaf, old);
    denied = asks && !try_to_unsync(mapping.gfn, !sync, sync, when && asks);
    leaf.tracked = mapping.tracking_ignored ? B(false) : denied;
    const W spte = impl::leaf_spte<W>(leaf);
    mark(mapping.gfn, when && impl::spte_writable(spte));
    return spte;
  }

  /// ShadowMmu::map(), TdpMmu::map(); true where write access had to go.
  B map(std::size_t i, const Mapping& mapping, const W& guest, const B& when) {
    auto& page = m.pages[i];
    const B same = impl::maps_same<W>(page.spte, 1, mapping.frame, page.gfn == mapping.gfn);
    clear(i, when && page.spte != 0 && !same);
    B denied = false;
    const W old = page.spte;
    const W spte = make_leaf(mapping, old, /*sync=*/false, when, denied);
    keep_dirty(page, old, spte, when && old != 0);
    request_flush(when && old != 0 && impl::loses_rights<W>(old, spte));
    write(page, spte, mapping.gfn, guest, when);
    return denied;
  }

  /// ShadowMmu::map_mmio().
  void map_mmio(std::size_t i, const W& gfn, const W& access, const W& guest, const B& when) {
    clear(i, when);
    write(m.pages[i], impl::encode_mmio<W>(impl::mmio::layout<W>(), gfn, access, m.generation), gfn,
          guest, when);
  }

  /// ShadowMmu::sync_entries() of a page that the vCPU may judge.
  void sync_entries(std::size_t i, const B& when) {
    auto& page = m.pages[i];
    const auto masks = m.masks(page.role.efer_nx, page.role.cr4_pse);
    const W guest = page.guest;
    const B usable =
        m.in_slot(page.table) && impl::sync_usable<W>(guest, m.mask_of(masks, 1, guest));
    const W rights =
        page.role.access &
        impl::rights_if_clean<W>(impl::entry_rights<W>(guest, m.nx_mask(page.role.efer_nx)), guest);
    const W gfn = m.impl_gfn(guest);
    const W old = page.spte;
    const B present = impl::spte_present(old);
    const B kept = present && usable && gfn == page.gfn && m.in_slot(gfn);
    const W mmio =
        impl::synced_mmio<W>(impl::mmio::layout<W>(), old, usable, gfn, rights, m.generation);
    clear(i, when && present && !kept);
    write(page, mmio, page.gfn, guest, when && !present);
    B denied = false;
    const Mapping mapping = {gfn, impl::spte_frame<W>(old), rights,
                             (old & impl::spte::host_writable) != 0, false};
    const W now = make_leaf(mapping, old, /*sync=*/true, when && kept, denied);
    keep_dirty(page, old, now, when && kept);
    request_flush(when && kept && impl::loses_rights<W>(old, now));
    write(page, now, page.gfn, guest, when && kept);
  }

  /// ShadowMmu::sync_tree() of the root of a vCPU that is linked to the page.
  void sync_tree(std::size_t i, const B& when, bool protects) {
    auto& page = m.pages[i];
    const B lags = when && page.unsync;
    if (protects) request_flush(write_protect(page.table, /*for_good=*/true, lags));
    page.unsync = page.unsync && !lags;
    sync_entries(i, lags);
  }

  /// The tables above the leaf page of vCPU 0 are shadowed, then the leaf page
  /// itself: ShadowMmu::get_shadow(), account_shadowed(), Vcpu::install().
  void link(const W& access, const W& table, const B& when) {
    auto& cpu = m.cpus[0];
    const B now = when && !cpu.linked;
    if (m.direct()) {
      m.pages[0].spte = ite(now && !m.pages[0].exists, W(0), m.pages[0].spte);
      m.pages[0].exists = m.pages[0].exists || now;
      cpu.linked = cpu.linked || now;
      return;
    }
    // A page that lags behind cannot stay where a table of a higher level is.
    for (std::size_t i = 0; i < 2; ++i) {
      const auto& page = m.pages[i];
      zap(i, now && page.exists && page.unsync && page.table == cpu.upper_table);
    }
    m.set(m.tracked, cpu.upper_table, now, true);
    request_flush(write_protect(cpu.upper_table, /*for_good=*/true, now));
    auto& page = m.pages[0];
    sync_entries(0, now && page.exists && page.unsync);
    const B fresh = now && !page.exists;
    page.exists = page.exists || fresh;
    page.spte = ite(fresh, W(0), page.spte);
    const auto role = m.role_of(cpu, access);
    page.table = ite(fresh, table, page.table);
    page.role.quadrant = ite(fresh, role.quadrant, page.role.quadrant);
    page.role.access = ite(fresh, role.access, page.role.access);
    page.role.cr0_wp = either(fresh, role.cr0_wp, page.role.cr0_wp);
    page.role.smep_andnot_wp = either(fresh, role.smep_andnot_wp, page.role.smep_andnot_wp);
    page.role.smap_andnot_wp = either(fresh, role.smap_andnot_wp, page.role.smap_andnot_wp);
    page.role.efer_nx = either(fresh, role.efer_nx, page.role.efer_nx);
    page.role.cr4_pse = either(fresh, role.cr4_pse, page.role.cr4_pse);
    request_flush(write_protect(page.table, /*for_good=*/true, fresh));
    cpu.linked = cpu.linked || now;
  }

  /// Memory of a gfn that may be a table gets new contents behind the MMU's back,
  /// or, `told`, by ShadowMmu::guest_wrote().
  void store(const W& gfn, const std::array<W, 2>& entries, const B& when, const B& told) {
    for (std::size_t i = 0; i < 2; ++i) {
      auto& page = m.pages[i];
      const B here = when && m.shadows(page, gfn);
      // The old entry may have been cached until the guest flushes.
      for (auto& cpu : m.cpus) {
        cpu.admits[i] = cpu.admits[i] || (here && same_but_flags<W>(page.seen, page.guest));
      }
      page.guest = ite(here, entries[i], page.guest);
      clear(i, here && told);
    }
    for (auto& cpu : m.cpus) {
      const B upper = when && told && m.walks_through(cpu, gfn);
      cpu.linked = cpu.linked && !upper;
      request_flush(upper);
    }
    m.set(m.written, gfn, when, true);
  }

  /// Vm::publish(): the generation after a change, and what a wrap takes along.
  void publish(bool grows = true) {
    if (!grows) return;
    m.generation = impl::next_generation<W>(m.generation, impl::SlotTable::address_spaces);
    const B wraps = impl::generation_wraps<W>(impl::mmio::layout<W>(), m.generation,
                                              impl::SlotTable::address_spaces);
    for (std::size_t i = 0; i < 2; ++i) zap(i, wraps);
  }

  static B either(const B& condition, const B& then, const B& otherwise) {
    return (condition && then) || (!condition && otherwise);
  }

 private:
  static void write(ShadowLeaf<P>& page, const W& spte, const W& gfn, const W& guest,
                    const B& when) {
    page.spte = ite(when, spte, page.spte);
    page.gfn = ite(when, gfn, page.gfn);  // the same where direct
    page.seen = ite(when, guest, page.seen);
  }

  Machine<P>& m;
};

}  // namespace lockstep::smt::refinement
