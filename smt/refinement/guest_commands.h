// SPDX-License-Identifier: GPL-2.0-or-later
/// What guests do on the template machine, and what user space asks of a vCPU.
#pragma once

#include <string>
#include <type_traits>

#include "smt/refinement/access.h"
#include "smt/refinement/outcome.h"

namespace lockstep::smt::refinement {

template <typename P, AccessKind kind>
Outcome<P> access(Machine<P>& m, bool broken) {
  AccessDefects defects;
  const bool read = broken && kind == AccessKind::read, write = broken && kind == AccessKind::write,
             fetch = broken && kind == AccessKind::fetch;
  if (m.direct()) {
    defects.host_protection_ignored = read;
    defects.fast_fault_not_logged = write;
    defects.tracking_ignored = fetch;
  } else {
    defects.clean_entry_writable = read;
    defects.exchange_keeps_user = write;
    defects.walk_without_smep = fetch;
  }
  AccessStep<P> step(m, kind, defects);
  Outcome<P> outcome;
  outcome.fits = step.fits();
  step.take();
  outcome.claim = step.claim();
  outcome.events = step.events();
  return outcome;
}

/// INVLPG of vCPU 0's address: Vcpu::invlpg(), ShadowMmu::invalidate_address().
template <typename P>
Outcome<P> invlpg(Machine<P>& m, bool broken) {
  auto& cpu = m.cpus[0];
  cpu.admits = {false, false};
  cpu.cached = false;
  if (!broken) Steps<P>(m).clear(0, cpu.linked && m.pages[0].unsync);
  return {};
}

/// Quarters of a 32-bit or PAE root belong to one value of CR3, and are given up by any
/// load: Roots::quartered(). Vcpu::load_quarter() synchronizes what it finds again, as a
/// link does.
constexpr bool quartered(PagingMode mode) {
  return mode == PagingMode::pae || mode == PagingMode::bits32;
}

/// MOV to CR3 of the value that it has, without PCIDs: Vcpu::set_cr3(), Vcpu::sync_roots().
template <typename P>
Outcome<P> load_cr3(Machine<P>& m, bool broken) {
  auto& cpu = m.cpus[0];
  cpu.admits = {false, false};
  cpu.cached = false;
  if (quartered(m.mode)) {
    cpu.linked = cpu.linked && broken;
  } else {
    Steps<P>(m).sync_tree(0, cpu.linked, /*protects=*/!broken);
  }
  return {};
}

/// What one vCPU uses of shadow pages becomes what vCPU 1 uses: the pages change names,
/// so that page 0 stays vCPU 0's.
template <typename P>
void take_root_of_other(Machine<P>& m, const typename P::Bool& when) {
  using B = typename P::Bool;
  const auto either = [](const B& first, const auto& a, const auto& b) {
    if constexpr (std::is_same_v<std::decay_t<decltype(a)>, B>) {
      return B((first && a) || (!first && b));
    } else {
      return ite(first, a, b);
    }
  };
  const B swaps = when && !m.shares;
  const auto pages = m.pages;
  for (std::size_t i = 0; i < 2; ++i) {
    const auto &from = pages[1 - i], &stays = pages[i];
    auto& to = m.pages[i];
    const auto take = [&](auto member) { to.*member = either(swaps, from.*member, stays.*member); };
    using Leaf = ShadowLeaf<P>;
    for (auto flag : {&Leaf::exists, &Leaf::unsync}) take(flag);
    for (auto word : {&Leaf::table, &Leaf::guest, &Leaf::spte, &Leaf::gfn, &Leaf::seen}) take(word);
    to.role.quadrant = ite(swaps, from.role.quadrant, stays.role.quadrant);
    to.role.access = ite(swaps, from.role.access, stays.role.access);
    using Role = impl::RoleFields<typename P::Word>;
    for (auto flag : {&Role::cr0_wp, &Role::smep_andnot_wp, &Role::smap_andnot_wp, &Role::efer_nx,
                      &Role::cr4_pse}) {
      to.role.*flag = either(swaps, from.role.*flag, stays.role.*flag);
    }
  }
  for (auto& cpu : m.cpus) {
    const auto admits = cpu.admits;
    for (std::size_t i = 0; i < 2; ++i) cpu.admits[i] = either(swaps, admits[1 - i], admits[i]);
  }
  auto& cpu = m.cpus[0];
  const auto& other = m.cpus[1];
  for (unsigned level = 2; level <= levels_of(m.mode); ++level) {
    cpu.upper[level] = ite(when, other.upper[level], cpu.upper[level]);
  }
  cpu.upper_table = ite(when, other.upper_table, cpu.upper_table);
  cpu.quadrant = ite(when, other.quadrant, cpu.quadrant);
  cpu.linked = either(when, other.linked, cpu.linked);
  m.shares = m.shares || when;
}

/// MOV to CR3 of another value, without PCIDs: the one that vCPU 1 has, whose root is
/// found, or one that no root has. Vcpu::set_cr3(), Vcpu::load_roots().
template <typename P>
Outcome<P> set_cr3(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  auto& cpu = m.cpus[0];
  const B found = P::boolean("cr3-of-vcpu1");
  Outcome<P> outcome;
  // Roots are found by role, whatever the registers are behind it.
  auto role = m.role_of(cpu, impl::rights::all);
  const auto others = m.role_of(m.cpus[1], impl::rights::all);
  role.quadrant = others.quadrant;
  outcome.fits = implies(found, role == others);
  take_root_of_other(m, found);
  for (unsigned level = 2; level <= levels_of(m.mode); ++level) {
    const auto now = P::word("now.entry-level" + std::to_string(level));
    cpu.upper[level] = ite(found, cpu.upper[level], now);
  }
  const auto table = P::word("now.level2-table-gfn"), quadrant = P::word("now.quadrant");
  cpu.upper_table = ite(found, cpu.upper_table, table);
  cpu.quadrant = ite(found, cpu.quadrant, quadrant);
  const B follows = found && cpu.linked;
  const B lags = follows && m.pages[0].unsync;
  cpu.linked = quartered(m.mode) ? B(cpu.linked && broken) : follows;
  cpu.cached = false;
  cpu.admits = {false, false};
  if (!broken && !quartered(m.mode)) Steps<P>(m).sync_tree(0, cpu.linked, /*protects=*/true);
  outcome.events = {{"a root is found whose page lags behind", lags},
                    {"a root is found in other registers",
                     follows && !(cpu.registers.smep == m.cpus[1].registers.smep)},
                    {"no root is found", !found}};
  return outcome;
}

/// INVPCID without PCIDs, of one address or of all: Vcpu::invlpg(),
/// Vcpu::invalidate_pcid(), Vcpu::flush_guest().
template <typename P>
Outcome<P> invpcid(Machine<P>& m, bool broken) {
  auto& cpu = m.cpus[0];
  const typename P::Bool one = P::boolean("individual-address");
  cpu.admits = {false, false};
  cpu.cached = false;
  Steps<P> steps(m);
  steps.clear(0, one && cpu.linked && m.pages[0].unsync);
  if (!broken) steps.sync_tree(0, cpu.linked && !one, /*protects=*/true);
  return {};
}

/// KVM_TRANSLATE of vCPU 0's address: Vcpu::translate(), which walks as a supervisor's
/// read does and sets accessed flags.
template <typename P>
Outcome<P> translate(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  GuestWalks<P> walks(m, {B(false), B(false), B(false), B(false)}, /*without_smep=*/false);
  Outcome<P> outcome;
  outcome.fits = walks.fits();
  const auto expected = walks.by_manual();
  const auto walk = walks.by_implementation();
  // The twin shows the page of an entry that denies the read.
  const B denied = (walk.code & fault::present) != 0 && (walk.code & fault::reserved) == 0;
  const B fails = broken ? B(walk.faults && !denied) : B(walk.faults);
  outcome.claim = implies(fails, expected.faults) &&
                  implies(!fails, !expected.faults && walk.gfn == expected.gfn);
  walks.set_flags(!walk.faults);
  return outcome;
}

/// New paging registers: Vcpu::registers_changed().
template <typename P>
Outcome<P> set_registers(Machine<P>& m, bool broken) {
  auto& cpu = m.cpus[0];
  cpu.registers = {P::boolean("now.cr0.wp"), P::boolean("now.cr4.smep"), P::boolean("now.cr4.smap"),
                   P::boolean("now.efer.nx"), P::boolean("now.cr4.pse")};
  cpu.cached = false;
  cpu.linked = cpu.linked && broken;
  return {};
}

}  // namespace lockstep::smt::refinement
