// SPDX-License-Identifier: GPL-2.0-or-later
/// One access of vCPU 0 on the template machine: hardware's part, the
/// implementation's fault, and what the model admits.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "smt/refinement/steps.h"

namespace lockstep::smt::refinement {

/// How an access is broken by its twin.
struct AccessDefects {
  bool clean_entry_writable = false;  ///< a read maps a clean entry with write access
  bool exchange_keeps_user = false;   ///< CR0.WP=0: the page stays the user's
  bool walk_without_smep = false;
  bool host_protection_ignored = false;
  bool fast_fault_not_logged = false;
  bool tracking_ignored = false;
};

/// The architecture's answer to an access: SDM "Paging", by spec/x86.
template <typename P>
struct Walked {
  typename P::Bool faults = false;
  typename P::Word code = 0;
  typename P::Word gfn = 0;
  typename P::Word access = 0;  ///< of the entries above the leaf
};

template <typename P>
class AccessStep {
 public:
  using B = typename P::Bool;
  using W = typename P::Word;

  AccessStep(Machine<P>& machine, AccessKind kind, const AccessDefects& defects)
      : m(machine),
        steps_(machine),
        defects_(defects),
        attempt_{kind == AccessKind::write, kind == AccessKind::fetch, P::boolean("user"),
                 P::boolean("ac")} {
    // Walks of nested tables are the user's (AMD64 APM "Nested Paging").
    if (m.direct()) attempt_.user = true;
  }

  /// What the template takes for granted of vCPU 0: page 0 is the one that its walk
  /// leads to, if there is such a page; tables that it reads through are in slots;
  /// the host lets the last one be written (else the model leaves the answer open).
  B fits() const {
    if (m.direct()) return true;
    const auto& cpu = m.cpus[0];
    const auto& page = m.pages[0];
    const auto upper = walk_upper();
    const W table = m.impl_gfn(cpu.upper[2]);
    const B reaches = !upper.stops;
    const B alias = P::boolean("page1.same-entry");
    return implies(reaches,
                   m.in_slot(cpu.upper_table) && page.table == table && !m.at(m.refused, table)) &&
           implies(reaches && page.exists, page.role == m.role_of(cpu, upper.access)) &&
           implies(alias, m.pages[1].table == page.table && m.pages[1].guest == page.guest);
  }

  /// Take it; `claim()` says whether every outcome was admitted.
  void take() {
    auto& cpu = m.cpus[0];
    auto& page = m.pages[0];
    cpu.cached = cpu.cached && !cpu.owed;
    cpu.owed = false;

    // Hardware, under the registers that KVM gives it.
    const W from = ite(cpu.cached, cpu.tlb, ite(cpu.linked, page.spte, W(0)));
    const B shadowed = !m.direct();
    const spec::RightsControl<B> hardware = {true, shadowed && cpu.registers.smep,
                                             shadowed && cpu.registers.smap, false, true};
    const B leaf = (from & entry::present) != 0 && (from & impl::spte::mmio) == 0;
    const B allowed = leaf && spec::rights_allow(hardware, attempt_, hardware_grant<P>(from));
    const B reserved = !leaf && (from & entry::present) != 0;
    claim_ = implies(allowed, translation_admitted(from));

    // The model's answer to a walk of memory as it is.
    const auto expected = spec_walk();
    Walked<P> walk;
    const auto upper = walk_upper();
    impl_walk(upper, walk);
    const B faults = !allowed;
    const B hit =
        faults && reserved && impl::mmio_hit<W>(impl::mmio::layout<W>(), from, m.generation);
    const W guest = ite(m.in_slot(page.table), page.guest, W(0));

    cpu.cached = cpu.cached && !faults;
    const B injected = faults && walk.faults;
    claim_ = claim_ && implies(injected, expected.faults && walk.code == expected.code) &&
             implies(faults && !walk.faults, !expected.faults && walk.gfn == expected.gfn);
    // Vcpu::injected().
    const B permission = (walk.code & fault::present) != 0 && (walk.code & fault::reserved) == 0;
    steps_.clear(0, injected && permission && cpu.linked && page.unsync);
    // The fault drops the address from history; where no entry is present, or a bit is
    // reserved, KVM does not, and spec/kvm/machine_access.cpp names that.
    cpu.admits[0] = cpu.admits[0] && !(injected && permission);

    // Vcpu::walk() sets flags, where the table may be written.
    const B through = faults && !walk.faults;
    const W flags = entry::accessed | ite(attempt_.write, W(entry::dirty), 0);
    const B settable =
        through && shadowed && !m.of_slot(m.read_only, page.table) && !m.at(m.refused, page.table);
    const B alias = P::boolean("page1.same-entry");
    page.guest = ite(settable, page.guest | flags, page.guest);
    m.pages[1].guest = ite(settable && alias, m.pages[1].guest | flags, m.pages[1].guest);
    steps_.mark(page.table, settable && page.guest != guest);
    m.set(m.written, page.table, settable && page.guest != guest, true);
    const W now = ite(settable, guest | flags, guest);

    // Vcpu::page_fault(), Vcpu::no_slot(), Vcpu::emulate().
    const W gfn = walk.gfn;
    const B slot = m.in_slot(gfn);
    const B read_only = m.of_slot(m.read_only, gfn), refused = m.at(m.refused, gfn);
    const B software = through && slot && !hit &&
                       impl::must_emulate<B>(attempt_.write, read_only, m.at(m.tracked, gfn));
    const B emulated = software || (through && hit);
    const B exits = through && (!slot || (emulated && attempt_.write && read_only));
    // What software stores to a page that the host protects is left open.
    const B store = emulated && slot && attempt_.write && !read_only && !refused;
    const B fast = m.direct() ? steps_.fast_fault(through && slot && !software && !reserved &&
                                                      attempt_.write && cpu.linked,
                                                  !defects_.fast_fault_not_logged)
                              : B(false);
    const B failed = through && slot && !emulated && !fast && attempt_.write && refused;
    const B mapped = through && slot && !emulated && !failed && !fast;
    claim_ = claim_ &&
             implies(exits, !m.in_slot(expected.gfn) ||
                                (attempt_.write && m.of_slot(m.read_only, expected.gfn))) &&
             implies(failed, m.at(m.refused, expected.gfn)) &&
             implies(store || mapped || fast,
                     m.in_slot(expected.gfn) &&
                         !(attempt_.write && m.of_slot(m.read_only, expected.gfn)));

    const B linked_now = !cpu.linked && through && slot;
    const B marks_mmio = through && !slot && !hit;
    const W path = walk.access;
    steps_.link(upper.access, m.impl_gfn(cpu.upper[2]), marks_mmio || mapped);
    steps_.map_mmio(0, gfn, impl::mmio_access<W>(impl::rights_if_clean<W>(path, now)), now,
                    marks_mmio);
    const W rights = rights_to_map(path, now, gfn);
    const B denied =
        steps_.map(0,
                   {.gfn = gfn,
                    .frame = m.at(m.frame, gfn),
                    .access = rights,
                    .host_writable = defects_.host_protection_ignored ? B(true) : !refused,
                    .tracking_ignored = defects_.tracking_ignored},
                   now, mapped);
    // The access is tried again, and must not fault for ever.
    claim_ =
        claim_ && implies(fast || (mapped && !(denied && attempt_.write)),
                          spec::rights_allow(hardware, attempt_, hardware_grant<P>(page.spte)));

    const B stale = !same_but_flags<W>(page.seen, page.guest);
    B lags = false, table = false;
    for (const auto& other : m.pages) {
      lags = lags || (other.unsync && other.table == gfn);
      table = table || m.shadows(other, page.gfn);
    }
    events_ = {
        {"hardware translates", allowed},
        {"hardware uses a cached translation", allowed && cpu.cached},
        {"hardware uses what memory no longer says", allowed && stale && shadowed},
        {"hardware writes a table", allowed && attempt_.write && table},
        {"the guest gets a fault of rights", injected && permission},
        {"the guest gets a fault of reserved bits", injected && (walk.code & fault::reserved) != 0},
        {"the guest gets a fault of absence", injected && (walk.code & fault::present) == 0},
        {"an MMIO entry exits", exits && hit},
        {"a walk to no slot exits", exits && !slot && !hit},
        {"a write to a read-only slot exits", exits && slot},
        {"an MMIO entry is passed though its gfn has memory", hit && !exits && slot},
        {"the host refuses", failed},
        {"software stores into a table", store},
        {"a page is mapped", mapped},
        {"a page is mapped writable", mapped && impl::spte_writable(page.spte)},
        {"a read is mapped writable", mapped && !attempt_.write && impl::spte_writable(page.spte)},
        {"CR0.WP=0 exchanges rights",
         mapped && attempt_.write && (path & impl::rights::writable) == 0},
        {"a page is mapped whose table lags behind", mapped && lags && shadowed},
        {"write access comes back without the lock", fast},
        {"shadow tables are linked", linked_now}};

    // What was stored, by hardware or by software, may be an entry of a table.
    const W reached = ite(allowed, page.gfn, gfn);
    const B wrote = (allowed && attempt_.write) || store;
    page.spte = ite(allowed && attempt_.write, page.spte | entry::dirty, page.spte);
    cpu.tlb = ite(allowed, page.spte, cpu.tlb);
    cpu.cached = cpu.cached || allowed;
    steps_.mark(reached, store);
    steps_.store(reached, {P::word("page0.stored"), P::word("page1.stored")}, wrote, store);
  }

  B claim() const { return claim_; }
  /// What may happen, by name: a test asks that each can, within the precondition.
  const std::vector<std::pair<std::string, B>>& events() const { return events_; }

 private:
  struct Upper {
    B stops = false;
    W code = 0;
    W access = impl::rights::all;
  };

  spec::RightsControl<B> guest_control() const {
    const auto& r = m.cpus[0].registers;
    return {r.wp, r.smep, r.smap, false, r.nx};
  }

  /// walk_guest() above the leaf.
  Upper walk_upper() const {
    const auto& cpu = m.cpus[0];
    const auto& r = cpu.registers;
    const auto masks = m.masks(r.nx, r.pse);
    Upper result;
    for (unsigned level = levels_of(m.mode); level >= 2; --level) {
      const W value = cpu.upper[level];
      const auto stop = impl::entry_stop<W>(value, m.mask_of(masks, level, value), base_code());
      result.code = ite(result.stops, result.code, stop.code);
      result.stops = result.stops || stop.stops;
      result.access = result.access & impl::entry_rights<W>(value, m.nx_mask(m.nx_works(r)));
    }
    return result;
  }
  W base_code() const {
    const auto& r = m.cpus[0].registers;
    return impl::access_bits<W>(attempt_.write, attempt_.user, attempt_.fetch,
                                impl::fetch_flag<W>(m.nx_works(r), r.smep));
  }
  /// walk_guest() at the leaf.
  void impl_walk(const Upper& upper, Walked<P>& walk) const {
    if (m.direct()) {
      walk.gfn = m.pages[0].gfn;
      walk.access = impl::rights::all;
      return;
    }
    const auto& r = m.cpus[0].registers;
    const auto masks = m.masks(r.nx, r.pse);
    const W leaf = ite(m.in_slot(m.pages[0].table), m.pages[0].guest, W(0));
    const auto stop = impl::entry_stop<W>(leaf, m.mask_of(masks, 1, leaf), base_code());
    const W have = upper.access & impl::entry_rights<W>(leaf, m.nx_mask(m.nx_works(r)));
    const B smep = defects_.walk_without_smep ? B(false) : B(r.smep);
    const auto permission = impl::permission_table<W>(r.wp, smep, r.smap);
    const auto index =
        impl::access_index<W>(attempt_.write, attempt_.user, attempt_.fetch, attempt_.ac);
    const W denied = impl::denied_bits<W>(select(permission, index), W(0), have, leaf, W(0));
    walk.faults = upper.stops || stop.stops || denied != 0;
    walk.code = ite(upper.stops, upper.code, ite(stop.stops, stop.code, base_code() | denied));
    walk.gfn = m.impl_gfn(leaf);
    walk.access = have;
  }

  /// The same by spec/x86.
  Walked<P> spec_walk() const {
    const auto& cpu = m.cpus[0];
    const auto& r = cpu.registers;
    const auto format = m.format(r.nx, r.pse);
    const B works = m.nx_works(r);
    spec::Grant<B> grant = {true, true, true};
    Walked<P> walk;
    if (m.direct()) {
      walk.gfn = m.pages[0].gfn;
      return walk;
    }
    for (unsigned level = levels_of(m.mode); level >= 1; --level) {
      const auto table = static_cast<TableLevel>(level);
      const W value =
          level == 1 ? ite(m.in_slot(m.pages[0].table), m.pages[0].guest, W(0)) : cpu.upper[level];
      const B absent = (value & entry::present) == 0;
      const B bad = !absent && (value & spec::entry_reserved(format, table, value)) != 0;
      const W code = spec::error_code<W>(attempt_, r.smep, works, bad, bad, false);
      walk.code = ite(walk.faults, walk.code, code);
      walk.faults = walk.faults || absent || bad;
      grant = spec::combine<W>(grant, value, !m.narrow());
      walk.gfn = spec::entry_target(format, table, value) >> page_shift;
    }
    const W code = spec::access_fault<W>(guest_control(), works, attempt_, grant, 0, 0);
    walk.code = ite(walk.faults, walk.code, code);
    walk.faults = walk.faults || code != 0;
    return walk;
  }

  /// Whether the model admits that the access goes where this SPTE says.
  B translation_admitted(const W& from) const {
    const auto& cpu = m.cpus[0];
    const auto& page = m.pages[0];
    const W target = m.target_of(page);
    // By the manual, of the vCPU's own path: nothing that a role says.
    spec::Grant<B> grant = {true, true, true};
    for (unsigned level = levels_of(m.mode); level >= 2; --level) {
      grant = spec::combine<W>(grant, cpu.upper[level], !m.narrow());
    }
    grant = spec::combine<W>(grant, page.seen, !m.narrow());
    auto with_ac = attempt_;
    with_ac.ac = true;
    // Named in spec/kvm: Looseness::wp_exchange, SMAP against an exchanged page.
    const B exchanged = (from & entry::user) == 0 && grant.user;
    const B allowed = m.direct() || spec::rights_allow(guest_control(), attempt_, grant) ||
                      (exchanged && spec::rights_allow(guest_control(), with_ac, grant));
    const B timely = m.direct() || cpu.admits[0] || same_but_flags<W>(page.seen, page.guest);
    const B slot = m.in_slot(target) && impl::spte_frame<W>(from) == m.at(m.frame, target);
    const B write =
        !attempt_.write ||
        (m.counts_as_dirty(page) && !m.of_slot(m.read_only, target) && !m.at(m.refused, target));
    return allowed && timely && slot && write;
  }

  /// Vcpu::page_fault(): the rights that a fault may map.
  W rights_to_map(const W& path, const W& leaf, const W& gfn) const {
    const auto& r = m.cpus[0].registers;
    const bool clean = !defects_.clean_entry_writable && !m.direct();
    W rights = path;
    if (clean) rights = ite(attempt_.write, rights, impl::rights_if_clean<W>(rights, leaf));
    const B stays =
        impl::must_stay_clean<B>(m.of_slot(m.log, gfn), attempt_.write, m.at(m.dirty, gfn));
    rights = ite(stays, rights & ~W(impl::rights::writable), rights);
    if (m.direct()) return rights;
    W exchanged = impl::exchange_for_wp<W>(rights, r.smep);
    if (defects_.exchange_keeps_user) exchanged = exchanged | (rights & impl::rights::user);
    return ite(impl::needs_exchange<W>(rights, attempt_.write), exchanged, rights);
  }

  Machine<P>& m;
  Steps<P> steps_;
  AccessDefects defects_;
  spec::Attempt<B> attempt_;
  B claim_ = true;
  std::vector<std::pair<std::string, B>> events_;
};

}  // namespace lockstep::smt::refinement
