// SPDX-License-Identifier: GPL-2.0-or-later
/// One access of vCPU 0 on the template machine: hardware's part, the
/// implementation's fault, and what the model admits.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "smt/refinement/guest_walks.h"

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

template <typename P>
class AccessStep {
 public:
  using B = typename P::Bool;
  using W = typename P::Word;

  AccessStep(Machine<P>& machine, AccessKind kind, const AccessDefects& defects)
      : m(machine),
        steps_(machine),
        defects_(defects),
        attempt_(attempt(machine, kind)),
        walks_(machine, attempt_, defects.walk_without_smep) {}

  B fits() const { return walks_.fits(); }

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
    const auto expected = walks_.by_manual();
    const auto walk = walks_.by_implementation();
    const B faults = !allowed;
    const B hit =
        faults && reserved && impl::mmio_hit<W>(impl::mmio::layout<W>(), from, m.generation);

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

    const B through = faults && !walk.faults;
    const W now = walks_.set_flags(through);

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
    steps_.link(walks_.upper().access, m.impl_gfn(cpu.upper[2]), marks_mmio || mapped);
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
  static spec::Attempt<B> attempt(const Machine<P>& m, AccessKind kind) {
    // Walks of nested tables are the user's (AMD64 APM "Nested Paging").
    return {kind == AccessKind::write, kind == AccessKind::fetch,
            m.direct() ? B(true) : B(P::boolean("user")), P::boolean("ac")};
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
    const B allowed = m.direct() || spec::rights_allow(walks_.guest_control(), attempt_, grant) ||
                      (exchanged && spec::rights_allow(walks_.guest_control(), with_ac, grant));
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
  GuestWalks<P> walks_;
  B claim_ = true;
  std::vector<std::pair<std::string, B>> events_;
};

}  // namespace lockstep::smt::refinement
