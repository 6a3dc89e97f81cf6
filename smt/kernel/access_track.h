// SPDX-License-Identifier: GPL-2.0-or-later
/// Access tracking where hardware has no accessed flag: the rights of a page move
/// to software bits, and the next access faults.
///
/// Formulas of KVM that impl/ has no use for: its hardware has accessed flags.
/// .ci/kernel-formulas proves marking and restoring equal to the kernels' own
/// functions; fast_fault() stands in the middle of one and is not compared.
#pragma once

#include <cstdint>

#include "spec/vocabulary/word.h"

namespace lockstep::smt::kernel {

/// EPT without accessed and dirty flags, as a kernel lays it out.
struct AccessTrackLayout {
  std::uint64_t tracked = 0;  ///< rights taken away: shadow_acc_track_mask
  std::uint64_t saved = 0;    ///< of these, kept: SHADOW_ACC_TRACK_SAVED_BITS_MASK
  unsigned shift = 0;         ///< SHADOW_ACC_TRACK_SAVED_BITS_SHIFT
  std::uint64_t ad_mask = 0;  ///< SPTE_TDP_AD_MASK
  std::uint64_t ad_disabled = 0;
  std::uint64_t host_writable = 0;
  std::uint64_t mmu_writable = 0;
  /// Kept by software where hardware keeps none: shadow_accessed_mask without A/D.
  std::uint64_t accessed = 0;
};

/// 6.1 and 6.12: R and X are saved at 54 and 56. No accessed bit without A/D.
inline constexpr AccessTrackLayout access_track_6_1 = {.tracked = 0x7,
                                                       .saved = 0x5,
                                                       .shift = 54,
                                                       .ad_mask = 3ull << 52,
                                                       .ad_disabled = 1ull << 52,
                                                       .host_writable = 1ull << 57,
                                                       .mmu_writable = 1ull << 58};
/// 7.2: R, X and XU (bit 10) are saved at 52, 54 and 62; the accessed bit goes with
/// them whether or not hardware sets it (kvm_mmu_set_ept_masks()).
inline constexpr AccessTrackLayout access_track_7_2 = {.tracked = 0x407,
                                                       .saved = 0x405,
                                                       .shift = 52,
                                                       .ad_mask = 3ull << 60,
                                                       .ad_disabled = 1ull << 60,
                                                       .host_writable = 1ull << 53,
                                                       .mmu_writable = 1ull << 55,
                                                       .accessed = 1ull << 8};

/// KVM: is_access_track_spte().
template <typename W>
constexpr BoolOf<W> is_access_tracked(const AccessTrackLayout& layout, W spte) {
  return (spte & layout.ad_mask) == layout.ad_disabled && (spte & layout.tracked) == 0;
}

/// Take the rights away and keep them. W is not kept: a write must fault to be
/// seen. KVM: mark_spte_for_access_track(), of an SPTE without hardware flags.
template <typename W>
constexpr W mark_for_access_track(const AccessTrackLayout& layout, W spte) {
  const W marked =
      (spte | ((spte & layout.saved) << layout.shift)) & ~W(layout.tracked | layout.accessed);
  return ite(is_access_tracked(layout, spte), spte, marked);
}

/// KVM: restore_acc_track_spte().
template <typename W>
constexpr W restore_access_track(const AccessTrackLayout& layout, W spte) {
  const W saved = (spte >> layout.shift) & layout.saved;
  return (spte & ~W(layout.tracked) & ~W(layout.saved << layout.shift)) | saved;
}

/// What a fault may write into the SPTE without the lock. `write`: it was one.
/// `huge_logged`: a huge page of a slot with a dirty log, of which one write would
/// dirty all; the fault leaves it to mmu_lock, who splits it. KVM: fast_page_fault().
template <typename W>
constexpr W fast_fault(const AccessTrackLayout& layout, W spte, BoolOf<W> write,
                       BoolOf<W> huge_logged) {
  const W restored = ite(is_access_tracked(layout, spte),
                         restore_access_track(layout, spte) | layout.accessed, spte);
  const BoolOf<W> may_write = write && (spte & layout.mmu_writable) != 0;
  return ite(may_write, ite(huge_logged, spte, restored | 2), restored);
}

}  // namespace lockstep::smt::kernel
