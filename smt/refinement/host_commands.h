// SPDX-License-Identifier: GPL-2.0-or-later
/// What the host does to the template machine, and KVM of its own accord.
#pragma once

#include "smt/refinement/outcome.h"
#include "smt/refinement/steps.h"

namespace lockstep::smt::refinement {

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
