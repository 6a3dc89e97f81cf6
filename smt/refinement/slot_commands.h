// SPDX-License-Identifier: GPL-2.0-or-later
/// Memslots of the template machine, and their dirty log.
#pragma once

#include <string>
#include <utility>

#include "smt/refinement/outcome.h"
#include "smt/refinement/steps.h"

namespace lockstep::smt::refinement {

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

/// Vm::zap_everything().
template <typename P>
void zap_all(Machine<P>& m, const typename P::Bool& when) {
  Steps<P> steps(m);
  for (std::size_t i = 0; i < 2; ++i) steps.zap(i, when);
  for (auto& cpu : m.cpus) cpu.linked = cpu.linked && !when;
  steps.request_flush(when);
}

/// How a twin zaps less.
enum class ZapDefect { none, tables_stay, nothing_is_unmapped };

/// ShadowMmu::zap_slot(), TdpMmu::unmap_range().
template <typename P>
void zap_slot(Machine<P>& m, const typename P::Word& slot, const typename P::Bool& when,
              ZapDefect defect) {
  using B = typename P::Bool;
  Steps<P> steps(m);
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& in_slot) {
    const B here = when && in_slot;
    if (defect != ZapDefect::nothing_is_unmapped) steps.unmap(gfn, here);
    for (std::size_t i = 0; i < 2; ++i) {
      if (defect == ZapDefect::none) steps.zap(i, here && m.shadows(m.pages[i], gfn));
    }
    for (auto& cpu : m.cpus) {
      const B upper = here && m.walks_through(cpu, gfn);
      cpu.linked = cpu.linked && !upper;
      steps.request_flush(upper);
    }
  });
}

/// Vm::remove() as KVM does it under KVM_X86_QUIRK_SLOT_ZAP_ALL: kvm_mmu_zap_all_fast().
template <typename P>
Outcome<P> delete_slot_zap_all(Machine<P>& m, bool broken) {
  const auto slot = any_slot<P>();
  Outcome<P> outcome;
  outcome.fits = is_slot(m, slot);
  Steps<P> steps(m);
  steps.publish();
  if (!broken) zap_all(m, true);
  forget_slot(m, slot);
  steps.publish();
  return outcome;
}

/// Vm::remove(), with ShadowMmu::zap_slot().
template <typename P>
Outcome<P> delete_slot(Machine<P>& m, bool broken) {
  const auto slot = any_slot<P>();
  Outcome<P> outcome;
  outcome.fits = is_slot(m, slot);
  Steps<P> steps(m);
  steps.publish();
  zap_slot(m, slot, true,
           !broken      ? ZapDefect::none
           : m.direct() ? ZapDefect::nothing_is_unmapped
                        : ZapDefect::tables_stay);
  forget_slot(m, slot);
  steps.publish();
  return outcome;
}

/// Vm::move(): to the other slot's place, where there is none, or to gfns that the template
/// does not show. As a slot that is deleted, in either way, and then a new one, which keeps
/// the bitmap if it was logged and is. Nobody follows the writes to it.
template <typename P>
Outcome<P> move_slot(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  const auto slot = any_slot<P>();
  const B zaps_all = P::boolean("slot-zap-all"), away = P::boolean("moves-away");
  const B on = P::boolean("now.log"), all_set = P::boolean("all-set");
  Outcome<P> outcome;
  outcome.fits = is_slot(m, slot) && (away || !(m.exists[0] && m.exists[1]));
  for (const auto& page : m.pages) {
    B outside = false;  // what no zap of the slot's tables takes along
    for (std::size_t gfn = 0; gfn < gfn_count; ++gfn) {
      outside = outside || (page.table == gfn && !(slot == gfn / 2));
    }
    outcome.events.emplace_back("an SPTE is below a table outside the slot",
                                outside && page.spte != 0);
  }
  outcome.events.emplace_back("another slot stays", m.exists[0] && m.exists[1]);
  Steps<P> steps(m);
  steps.publish();
  if (!broken) {
    zap_all(m, zaps_all);
    zap_slot(m, slot, !zaps_all, ZapDefect::none);
  }
  const auto before = m;
  forget_slot(m, slot);
  for (std::size_t i = 0; i < slot_count; ++i) {
    const B here = !away && !(slot == i);  // where it goes to
    const B keeps = before.log[1 - i] && on;
    m.exists[i] = m.exists[i] || here;
    m.log[i] = Steps<P>::either(here, on, m.log[i]);
    m.read_only[i] = Steps<P>::either(here, before.read_only[1 - i], m.read_only[i]);
    for (std::size_t page = 0; page < 2; ++page) {
      const std::size_t to = 2 * i + page, from = 2 * (1 - i) + page;
      m.frame[to] = ite(here, before.frame[from], m.frame[to]);
      const auto take = [&](auto member, const B& value) {
        (m.*member)[to] = Steps<P>::either(here, value, (m.*member)[to]);
      };
      take(&Machine<P>::refused, before.refused[from]);
      take(&Machine<P>::dirty, Steps<P>::either(keeps, before.dirty[from], on && all_set));
      take(&Machine<P>::written, keeps && before.written[from]);
      take(&Machine<P>::tracked, B(false));
    }
  }
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

/// Vm::harvest(), of one page.
template <typename P>
typename P::Bool harvest(Machine<P>& m, std::size_t gfn, const typename P::Bool& here,
                         bool flushes = true) {
  Steps<P> steps(m);
  const auto taken = steps.take_dirty_bits(gfn, here && m.dirty_bits);
  if (flushes) steps.request_flush(taken);
  return taken;
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
  // The bitmap goes with the log; D bits are collected into it before.
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& here) { harvest(m, gfn, here && !on); });
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
  outcome.fits = is_slot(m, slot) && ite(slot == 0, m.log[0], m.log[1]);
  Steps<P> steps(m);
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& here) {
    const B taken = harvest(m, gfn, here, /*flushes=*/!broken);
    m.dirty[gfn] = m.dirty[gfn] || taken;
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
  outcome.fits = is_slot(m, slot) && ite(slot == 0, m.log[0], m.log[1]);
  Steps<P> steps(m);
  each_gfn_of<P>(slot, [&](std::size_t gfn, const B& here) {
    const B taken = harvest(m, gfn, here);
    m.dirty[gfn] = m.dirty[gfn] || taken;
    const B cleared = here && m.dirty[gfn] && P::boolean("clear" + std::to_string(gfn % 2));
    m.dirty[gfn] = m.dirty[gfn] && !cleared;
    m.written[gfn] = m.written[gfn] && !cleared;
    steps.rearm(gfn, broken ? B(false) : cleared, /*flushes=*/true);
  });
  return outcome;
}

/// The dirty ring is read and reset: Vm::collect_rings(). The bitmap stands for what is
/// in the ring, of either slot; impl, unlike KVM, uses no D bits with it.
template <typename P>
Outcome<P> collect_ring(Machine<P>& m, bool broken) {
  using B = typename P::Bool;
  Outcome<P> outcome;
  outcome.fits = !m.dirty_bits;
  Steps<P> steps(m);
  for (std::size_t gfn = 0; gfn < gfn_count; ++gfn) {
    const B logged = m.log[gfn / 2];
    outcome.claim = outcome.claim && implies(m.written[gfn] && logged, m.dirty[gfn]);
    const B taken = m.dirty[gfn];
    m.dirty[gfn] = false;
    m.written[gfn] = false;
    // Entries of a slot that is gone are passed over.
    steps.rearm(gfn, broken ? B(false) : B(taken && m.exists[gfn / 2]), /*flushes=*/true);
  }
  return outcome;
}

}  // namespace lockstep::smt::refinement
