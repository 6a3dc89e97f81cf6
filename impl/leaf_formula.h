// SPDX-License-Identifier: GPL-2.0-or-later
/// Leaf SPTEs of shadow paging and NPT as KVM computes them, with every reason
/// to withhold a right.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// this text.
#pragma once

#include <cstdint>

#include "impl/role.h"
#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Software bits of an SPTE. KVM: DEFAULT_SPTE_HOST_WRITABLE,
/// DEFAULT_SPTE_MMU_WRITABLE, SPTE_MMU_PRESENT_MASK.
namespace leaf_bits {
inline constexpr std::uint64_t host_writable = 1ull << 9;
inline constexpr std::uint64_t mmu_writable = 1ull << 10;
inline constexpr std::uint64_t present = 1ull << 11;
}  // namespace leaf_bits

/// What a leaf is made from.
template <typename W>
struct LeafRequest {
  W level = 1;
  W frame = 0;                      ///< host frame, aligned to the level
  W rights = 0;                     ///< of the guest's path under the page's role, as Rights
  BoolOf<W> host_writable = false;  ///< the host lets the page be written
  BoolOf<W> tracked = false;        ///< the gfn is a guest page table that must not be written
  BoolOf<W> nx_huge = false;        ///< huge pages are not executable
  BoolOf<W> prefetch = false;       ///< nobody has accessed it yet
};

/// KVM: make_spte().
template <typename W>
constexpr W make_leaf(const LeafRequest<W>& request) {
  using B = BoolOf<W>;
  const B huge = request.level > W(1);
  const B executable = (request.rights & rights::executable) != 0 && !(huge && request.nx_huge);
  const B writable =
      (request.rights & rights::writable) != 0 && request.host_writable && !request.tracked;
  return (request.frame << 12) | leaf_bits::present | entry::present |
         ite(request.prefetch, W(0), entry::accessed) | ite(executable, W(0), entry::no_execute) |
         ite((request.rights & rights::user) != 0, W(entry::user), 0) |
         ite(huge, W(entry::page_size), 0) |
         ite(request.host_writable, W(leaf_bits::host_writable), 0) |
         ite(writable, W(entry::writable | leaf_bits::mmu_writable | entry::dirty), 0);
}

/// One of the 512 pieces of a huge leaf at `level`. KVM:
/// make_huge_page_split_spte(), make_small_spte().
template <typename W>
constexpr W split_leaf(W huge, W level, W index) {
  const W pages = W(1) << ((level - 2) * 9);
  const W piece = huge | ((index * pages) << 12);
  return ite(level == W(2), piece & ~W(entry::page_size), piece);
}

/// Take write access away: for the dirty log it may come back, for a shadowed
/// table it may not. KVM: spte_write_protect().
template <typename W>
constexpr W write_protected(W spte, BoolOf<W> for_good) {
  const W kept = spte & ~W(entry::writable);
  return ite(for_good, kept & ~W(leaf_bits::mmu_writable), kept);
}

}  // namespace lockstep::impl
