// SPDX-License-Identifier: GPL-2.0-or-later
/// MMIO SPTEs as KVM lays them out: gfn, rights and part of the memslots'
/// generation in an entry that hardware faults on.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs. Widths differ from kernel to kernel and stand in
/// MmioLayout; the one that runs here is in impl/spte.h.
#pragma once

#include <cstdint>

#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Where the parts stand. KVM: mmu/spte.h.
template <typename W>
struct MmioLayout {
  unsigned low_bits = 8;    ///< of the generation, from bit 3 of the SPTE up
  unsigned high_bits = 11;  ///< of the generation, from bit 52 up
  W mask = 0;               ///< shadow_mmio_mask
  W value = 0;              ///< shadow_mmio_value
  W access_mask = 0;        ///< shadow_mmio_access_mask
  W inverted = 0;           ///< shadow_nonpresent_or_rsvd_mask; 0 without L1TF
  W lower_gfn_mask = 0;     ///< shadow_nonpresent_or_rsvd_lower_gfn_mask
};

inline constexpr unsigned mmio_low_shift = 3;
inline constexpr unsigned mmio_high_shift = 52;
/// Address bits that L1TF takes away. KVM: SHADOW_NONPRESENT_OR_RSVD_MASK_LEN.
inline constexpr unsigned inverted_bits = 5;
/// Generation flag of a swap that is not over. KVM:
/// KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS.
inline constexpr std::uint64_t update_in_progress = 1ull << 63;
/// What tells a mapping from everything else. KVM: SPTE_MMU_PRESENT_MASK.
inline constexpr std::uint64_t mmu_present = 1ull << 11;

/// Masks of a processor whose L1 cache sees `cache_bits` of address, which must
/// be below 47, or of one without L1TF. KVM: kvm_mmu_reset_all_pte_masks().
template <typename W>
constexpr W inverted_mask(BoolOf<W> l1tf, W cache_bits) {
  return ite(l1tf, bit_range<W>(cache_bits - 1, cache_bits - inverted_bits), 0);
}
template <typename W>
constexpr W lower_gfn_mask(BoolOf<W> l1tf, W cache_bits, W phys_bits) {
  return bit_range<W>(ite(l1tf, cache_bits - inverted_bits, phys_bits) - 1, 12);
}

template <typename W>
constexpr W generation_mask(const MmioLayout<W>& layout) {
  return (1ull << (layout.low_bits + layout.high_bits)) - 1;
}

/// Bits of an SPTE that hold the generation.
template <typename W>
constexpr W generation_field(const MmioLayout<W>& layout) {
  return (((1ull << layout.low_bits) - 1) << mmio_low_shift) |
         (((1ull << layout.high_bits) - 1) << mmio_high_shift);
}

/// KVM: make_mmio_spte(). `generation` may have any bits.
template <typename W>
constexpr W encode_mmio(const MmioLayout<W>& layout, W gfn, W access, W generation) {
  const W gpa = gfn << 12;
  const W low = generation & ((1ull << layout.low_bits) - 1);
  const W high = (generation >> layout.low_bits) & ((1ull << layout.high_bits) - 1);
  return (low << mmio_low_shift) | (high << mmio_high_shift) | layout.value |
         (access & layout.access_mask) | gpa | layout.inverted |
         ((gpa & layout.inverted) << inverted_bits);
}

/// KVM: is_mmio_spte(), where MMIO caching is on.
template <typename W>
constexpr BoolOf<W> is_mmio(const MmioLayout<W>& layout, W spte) {
  return (spte & layout.mask) == layout.value;
}

/// KVM: get_mmio_spte_gfn().
template <typename W>
constexpr W decode_mmio_gfn(const MmioLayout<W>& layout, W spte) {
  return ((spte & layout.lower_gfn_mask) | ((spte >> inverted_bits) & layout.inverted)) >> 12;
}

/// KVM: get_mmio_spte_access().
template <typename W>
constexpr W decode_mmio_access(const MmioLayout<W>& layout, W spte) {
  return spte & layout.access_mask;
}

/// KVM: get_mmio_spte_generation().
template <typename W>
constexpr W decode_mmio_generation(const MmioLayout<W>& layout, W spte) {
  const W low = (spte >> mmio_low_shift) & ((1ull << layout.low_bits) - 1);
  const W high = (spte >> mmio_high_shift) & ((1ull << layout.high_bits) - 1);
  return low | (high << layout.low_bits);
}

/// Whether an MMIO SPTE may be used under this generation of the memslots. KVM:
/// check_mmio_spte().
template <typename W>
constexpr BoolOf<W> mmio_hit(const MmioLayout<W>& layout, W spte, W generation) {
  return (generation & update_in_progress) == 0 &&
         decode_mmio_generation(layout, spte) == (generation & generation_mask(layout));
}

/// Generation after a swap of one of `spaces` address spaces, a power of two.
/// KVM: kvm_swap_active_memslots().
template <typename W>
constexpr W next_generation(W generation, W spaces) {
  return (generation & ~W(update_in_progress)) + spaces;
}

/// Whether every SPTE must go because the generation's part in SPTEs begins
/// anew. KVM: kvm_mmu_invalidate_mmio_sptes().
template <typename W>
constexpr BoolOf<W> generation_wraps(const MmioLayout<W>& layout, W generation, W spaces) {
  return (generation & generation_mask(layout) & ~(spaces - 1)) == 0;
}

}  // namespace lockstep::impl
