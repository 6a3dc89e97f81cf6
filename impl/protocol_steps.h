// SPDX-License-Identifier: GPL-2.0-or-later
/// Decisions that protocols between threads rest on, one function each.
///
/// Templates over a word W (spec/vocabulary/word.h) or an integer I, so that
/// theorems on runs speak of the text that runs.
#pragma once

#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Whether a shadow page is no longer to be used. `generation` has one bit in
/// KVM: a page that was not freed would look valid after two changes were it not
/// for `invalid`. KVM: is_obsolete_sp().
template <typename B>
constexpr B is_obsolete(B invalid, B generation, B current_generation) {
  return invalid || generation != current_generation;
}

/// Whether a fault that began at sequence number `seen` must be done again.
/// `in_progress`: an invalidation of the fault's page is under way. KVM:
/// mmu_invalidate_retry_hva(), since 6.12 mmu_invalidate_retry_gfn().
template <typename I>
constexpr BoolOf<I> must_retry(BoolOf<I> in_progress, I sequence, I seen) {
  return in_progress || sequence != seen;
}

}  // namespace lockstep::impl
