// SPDX-License-Identifier: GPL-2.0-or-later
/// The other commands on the template machine.
#pragma once

#include "smt/refinement/access.h"

namespace lockstep::smt::refinement {

/// A command: what it needs, what it does, what it must answer.
template <typename P>
struct Outcome {
  typename P::Bool fits = true;   ///< the command can be given here
  typename P::Bool claim = true;  ///< its answer is one that the model admits
  std::vector<std::pair<std::string, typename P::Bool>> events;  ///< see AccessStep
};

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

/// MOV to CR3 of the value that it has, without PCIDs: Vcpu::set_cr3(), Vcpu::sync_roots().
template <typename P>
Outcome<P> load_cr3(Machine<P>& m, bool broken) {
  auto& cpu = m.cpus[0];
  cpu.admits = {false, false};
  cpu.cached = false;
  Steps<P>(m).sync_tree(0, cpu.linked, /*protects=*/!broken);
  return {};
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

/// A slot of which both halves of the command see the other things unchanged.
template <typename P>
void each_gfn_of(const typename P::Word& slot, auto&& visit) {
  for (std::size_t gfn = 0; gfn < gfn_count; ++gfn) visit(gfn, slot == gfn / 2);
}
template <typename P>
typename P::Word any_slot() {
  return P::word("slot");
}

/// A slot that is there.
template <typename P>
typename P::Bool is_slot(const Machine<P>& m, const typename P::Word& slot) {
  return slot < slot_count && ite(slot == 0, m.exists[0], m.exists[1]);
}

/// MemorySlots::extract(): what goes with the slot itself.
template <typename P>
void forget_slot(Machine<P>& m, const typename P::Word& slot) {
  each_gfn_of<P>(slot, [&](std::size_t gfn, const typename P::Bool& here) {
    m.tracked[gfn] = m.tracked[gfn] && !here;
    m.written[gfn] = m.written[gfn] && !here;
  });
  for (std::size_t i = 0; i < slot_count; ++i) {
    m.exists[i] = m.exists[i] && !(slot == i);
    m.log[i] = m.log[i] && !(slot == i);
  }
}

/// Vm::remove() with Vm::zap_everything(), as KVM does it under
/// KVM_X86_QUIRK_SLOT_ZAP_ALL: kvm_mmu_zap_all_fast().
template <typename P>
Outcome<P> delete_slot_zap_all(Machine<P>& m, bool broken) {
  const auto slot = any_slot<P>();
  Outcome<P> outcome;
  outcome.fits = is_slot(m, slot);
  Steps<P> steps(m);
  steps.publish();
  if (!broken) {
    for (std::size_t i = 0; i < 2; ++i) steps.zap(i, true);
    for (auto& cpu : m.cpus) cpu.linked = false;
    steps.request_flush(true);
  }
  forget_slot(m, slot);
  steps.publish();
  return outcome;
}

/// Vm::remove(), with ShadowMmu::zap_slot().
template <typename P>
Outcome<P> delete_slot(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  const auto slot = any_slot<P>();
  Outcome<P> outcome;
  outcome.fits = is_slot(m, slot);
  Steps<P> steps(m);
  steps.publish();
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& here) {
    if (!broken || !m.direct()) steps.unmap(gfn, here);
    for (std::size_t i = 0; i < 2; ++i) {
      if (!broken) steps.zap(i, here && m.shadows(m.pages[i], gfn));
    }
    for (auto& cpu : m.cpus) {
      const B upper = here && m.walks_through(cpu, gfn);
      cpu.linked = cpu.linked && !upper;
      steps.request_flush(upper);
    }
  });
  forget_slot(m, slot);
  steps.publish();
  return outcome;
}

/// Vm::create(). The new slot's frames, flags and bitmap are any.
template <typename P>
Outcome<P> create_slot(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  const auto slot = any_slot<P>();
  Outcome<P> outcome;
  outcome.fits = slot < slot_count && !ite(slot == 0, m.exists[0], m.exists[1]);
  Steps<P> steps(m);
  for (std::size_t i = 0; i < slot_count; ++i) {
    const B here = slot == i;
    m.exists[i] = m.exists[i] || here;
    m.read_only[i] = Steps<P>::either(here, P::boolean("now.read-only"), m.read_only[i]);
    m.log[i] = Steps<P>::either(here, P::boolean("now.log"), m.log[i]);
  }
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& here) {
    const auto frame = P::word("now.host-frame" + std::to_string(gfn % 2));
    outcome.fits = outcome.fits && frame < (1ull << 39);
    m.frame[gfn] = ite(here, frame, m.frame[gfn]);
    m.dirty[gfn] = Steps<P>::either(here, P::boolean("all-set"), m.dirty[gfn]);
    m.written[gfn] = m.written[gfn] && !here;
    m.tracked[gfn] = m.tracked[gfn] && !here;
  });
  steps.publish(!broken);
  return outcome;
}

/// Vm::change_flags(): logging begins or ends. `all-set`: with every bit set, and
/// then nothing is write-protected (KVM_DIRTY_LOG_INITIALLY_SET).
template <typename P>
Outcome<P> set_flags(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  const auto slot = any_slot<P>();
  const B on = P::boolean("now.log"), all_set = P::boolean("all-set");
  Outcome<P> outcome;
  Steps<P> steps(m);
  outcome.fits = slot < slot_count &&
                 ite(slot == 0, m.exists[0] && !(m.log[0] == on), m.exists[1] && !(m.log[1] == on));
  for (std::size_t i = 0; i < slot_count; ++i) {
    m.log[i] = Steps<P>::either(slot == i, on, m.log[i]);
  }
  steps.publish();
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& here) {
    m.dirty[gfn] = Steps<P>::either(here, on && all_set, m.dirty[gfn]);
    m.written[gfn] = m.written[gfn] && !here;
    const B protects = here && on && !all_set && !m.read_only[gfn / 2];
    steps.rearm(gfn, broken ? B(false) : protects, /*flushes=*/true);
  });
  return outcome;
}

/// KVM_GET_DIRTY_LOG where it clears, too: Vm::get_dirty_log().
template <typename P>
Outcome<P> get_dirty_log(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  const auto slot = any_slot<P>();
  Outcome<P> outcome;
  outcome.fits =
      slot < slot_count && ite(slot == 0, m.exists[0] && m.log[0], m.exists[1] && m.log[1]);
  Steps<P> steps(m);
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& here) {
    // Vm::harvest().
    const B taken = steps.take_dirty_bits(gfn, here && m.dirty_bits);
    m.dirty[gfn] = m.dirty[gfn] || taken;
    if (!broken) steps.request_flush(taken);
    outcome.claim = outcome.claim && implies(here && m.written[gfn], m.dirty[gfn]);
    const B cleared = here && m.dirty[gfn];
    m.dirty[gfn] = m.dirty[gfn] && !here;
    m.written[gfn] = m.written[gfn] && !here;
    steps.rearm(gfn, cleared, /*flushes=*/!broken);
  });
  return outcome;
}

/// KVM_CLEAR_DIRTY_LOG of any pages: Vm::clear_dirty_log(), Vm::protect_word().
template <typename P>
Outcome<P> clear_dirty_log(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  const auto slot = any_slot<P>();
  Outcome<P> outcome;
  outcome.fits =
      slot < slot_count && ite(slot == 0, m.exists[0] && m.log[0], m.exists[1] && m.log[1]);
  Steps<P> steps(m);
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& here) {
    const B cleared = here && m.dirty[gfn] && P::boolean("clear" + std::to_string(gfn % 2));
    m.dirty[gfn] = m.dirty[gfn] && !cleared;
    m.written[gfn] = m.written[gfn] && !cleared;
    steps.rearm(gfn, broken ? B(false) : cleared, /*flushes=*/true);
  });
  return outcome;
}

/// The page moves: Vm::invalidate_begin(), the host, Vm::invalidate_end().
template <typename P>
Outcome<P> host_migrate(Machine<P>& m, bool broken) {
  const auto gfn = P::word("gfn"), frame = P::word("now.host-frame");
  if (!broken) Steps<P>(m).unmap(gfn, true);
  for (std::size_t i = 0; i < gfn_count; ++i) m.frame[i] = ite(gfn == i, frame, m.frame[i]);
  return {.fits = gfn < gfn_count && frame < (1ull << 39), .claim = true, .events = {}};
}

/// The host takes write access away, or gives it back: Vm::protect_host().
template <typename P>
Outcome<P> host_protect(Machine<P>& m, bool broken) {
  const auto gfn = P::word("gfn");
  if (!broken) Steps<P>(m).unmap(gfn, true);
  m.set(m.refused, gfn, true, P::boolean("now.host-protected"));
  return {.fits = gfn < gfn_count, .claim = true, .events = {}};
}

/// The host asks who was used: ShadowMmu::age_range().
template <typename P>
Outcome<P> host_age(Machine<P>& m, bool broken) {
  const auto gfn = P::word("gfn");
  for (auto& page : m.pages) {
    const auto old = page.spte;
    auto now = old & ~typename P::Word(entry::accessed);
    // The twin takes the dirty bit along.
    if (broken) now = now & ~typename P::Word(entry::dirty);
    page.spte = ite(impl::spte_present(old) && page.gfn == gfn, now, old);
  }
  return {.fits = gfn < gfn_count, .claim = true, .events = {}};
}

/// Writes to a gfn are followed from now on: Vm::track().
template <typename P>
Outcome<P> track(Machine<P>& m, bool broken) {
  const auto gfn = P::word("gfn");
  m.set(m.tracked, gfn, true, true);
  Steps<P> steps(m);
  // The twin leaves what the dirty log leaves.
  steps.request_flush(steps.write_protect(gfn, /*for_good=*/!broken, true));
  return {.fits = gfn < gfn_count && m.in_slot(gfn), .claim = true, .events = {}};
}

/// A shadow page is reclaimed: ShadowMmu::zap_oldest().
template <typename P>
Outcome<P> reclaim(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  const auto page = P::word("page");
  for (std::size_t i = 0; i < 2; ++i) {
    const auto before = m.cpus;
    Steps<P>(m).zap(i, page == i && m.pages[i].exists);
    if (!broken) continue;
    for (std::size_t v = 0; v < vcpu_count; ++v) m.cpus[v].owed = B(before[v].owed);
  }
  return {.fits = page < 2, .claim = true, .events = {}};
}

}  // namespace lockstep::smt::refinement
