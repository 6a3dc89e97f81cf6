// SPDX-License-Identifier: GPL-2.0-or-later
/// Which SPTE stands for which address and which guest entry.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs.
#pragma once

#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Index of an 8-byte entry in its aligned table, from the entry's address. KVM:
/// spte_index().
template <typename W>
constexpr W index_of_entry(W entry_address) {
  return (entry_address >> 3) & 511;
}

/// Index of the SPTE that translates `address` in a table of the level, from 1.
/// KVM: SPTE_INDEX().
template <typename W>
constexpr W index_of_address(W address, W level) {
  return (address >> (W(12) + (level - 1) * 9)) & 511;
}

/// A guest table of 4-byte entries covers twice what a shadow page covers at
/// level 1 and four times at level 2: its quadrant for a linear address. KVM:
/// kvm_mmu_child_role() and mmu_alloc_root().
template <typename W>
constexpr W quadrant_of_address(W gva, W level) {
  return ite(level == W(1), (gva >> 21) & 1, (gva >> 30) & 3);
}

/// The same for the child of a page-directory SPTE, from the SPTE's address.
template <typename W>
constexpr W quadrant_of_child(W entry_address) {
  return index_of_entry(entry_address) & 1;
}

/// Index in a guest's table of 4-byte entries from a shadow page's quadrant and
/// index at level 1. KVM: get_level1_sp_gpa().
template <typename W>
constexpr W guest_index(W quadrant, W index) {
  return (quadrant << 9) + index;
}

/// SPTEs of a shadow page, first and how many; none if the guest's bytes belong
/// to another quadrant.
template <typename W>
struct FollowedEntries {
  W first = 0;
  W count = 0;
};

/// The SPTEs that follow guest bytes [offset, offset + size) of a table, which
/// stay within one entry of 8 bytes, or of 4 where the table has such. KVM:
/// get_written_sptes().
template <typename W>
constexpr FollowedEntries<W> followed_entries(BoolOf<W> narrow, W level, W quadrant, W offset,
                                              W size) {
  // A 4-byte entry stands for one SPTE at level 1 and for two at level 2.
  const W each = ite(narrow && level == W(2), W(2), 1);
  const W first = ite(narrow, offset >> 2, offset >> 3) * each;
  const W last = ite(narrow, (offset + size - 1) >> 2, (offset + size - 1) >> 3) * each + each - 1;
  const BoolOf<W> elsewhere = narrow && (first >> 9) != quadrant;
  return {ite(elsewhere, W(0), first & 511), ite(elsewhere, W(0), last - first + 1)};
}

/// Stores that no guest makes to a table it still uses as one: less than 4 bytes,
/// or across entries. An entry's lowest byte is stored alone where flags are
/// cleared. KVM: detect_write_misaligned().
template <typename W>
constexpr BoolOf<W> misaligned_store(BoolOf<W> narrow, W offset, W size) {
  const W entry = ite(narrow, W(2), 3);
  const BoolOf<W> flags = size == W(1) && ((offset >> entry) << entry) == offset;
  const BoolOf<W> crosses = (offset >> entry) != ((offset + size - 1) >> entry);
  return !flags && (size < W(4) || crosses);
}

/// What a shadow page keeps of a guest entry: its frame and the rights of the
/// path, `access_bits` wide. KVM: kvm_mmu_page_set_translation().
template <typename W>
constexpr W pack_translation(W gfn, W access) {
  return (gfn << 12) | access;
}
template <typename W>
constexpr W translation_gfn(W packed) {
  return packed >> 12;
}
template <typename W>
constexpr W translation_access(W packed, W access_mask) {
  return packed & access_mask;
}

}  // namespace lockstep::impl
