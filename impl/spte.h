// SPDX-License-Identifier: GPL-2.0-or-later
/// The bits of an SPTE: a 64-bit x86 entry that hardware can walk as it is.
/// Bits 9 to 11 are software's (SDM "4-Level Paging": ignored).
#pragma once

#include <cstdint>

#include "impl/role.h"
#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::impl {

namespace spte {
/// The host lets the page be written. KVM: shadow_host_writable_mask.
inline constexpr std::uint64_t host_writable = 1ull << 9;
/// Only the dirty log may have taken write access away, so that a fault may
/// give it back without asking. KVM: shadow_mmu_writable_mask.
inline constexpr std::uint64_t mmu_writable = 1ull << 10;
/// The SPTE maps or links; MMIO entries lack it. KVM: SPTE_MMU_PRESENT_MASK.
inline constexpr std::uint64_t shadow_present = 1ull << 11;
/// What an entry of the TDP MMU holds while its old contents are torn down: not
/// present to hardware, and nobody else may change it. KVM: REMOVED_SPTE.
inline constexpr std::uint64_t removed = 0x5a0;

/// Width of host physical addresses: bit 51 is reserved, and marks MMIO.
inline constexpr unsigned host_maxphyaddr = 51;
inline constexpr std::uint64_t mmio = 1ull << 51;
/// Address field of an entry that maps or links.
inline constexpr std::uint64_t address = entry::address & ~mmio;
}  // namespace spte

constexpr bool spte_present(std::uint64_t value) { return (value & spte::shadow_present) != 0; }
constexpr Hfn spte_frame(std::uint64_t value) { return (value & spte::address) >> page_shift; }
constexpr bool spte_writable(std::uint64_t value) { return (value & entry::writable) != 0; }
constexpr bool spte_large(std::uint64_t value) { return (value & entry::page_size) != 0; }
/// A present SPTE of the level is a leaf.
constexpr bool spte_leaf(std::uint64_t value, unsigned level) {
  return level == 1 || spte_large(value);
}

/// Entry that refers to a lower table. Grants everything: leaf SPTEs restrict.
/// KVM: make_nonleaf_spte().
constexpr std::uint64_t nonleaf_spte(Hfn table) {
  return gfn_to_gpa(table) | spte::shadow_present | entry::present | entry::writable | entry::user |
         entry::accessed;
}

/// Entry that maps a host page, or a huge one at level 2 and 3. Accessed and, if
/// writable, dirty are set ahead, because the guest's own flags are kept by the
/// guest walker. Write access is taken from a page that the host write-protects.
/// KVM: make_spte().
constexpr std::uint64_t leaf_spte(Hfn page, Rights access, unsigned level, bool host_writable) {
  const bool write = host_writable && (access & rights::writable) != 0;
  return gfn_to_gpa(page) | spte::shadow_present | entry::present | entry::accessed |
         (host_writable ? spte::host_writable : 0) | (level > 1 ? entry::page_size : 0) |
         (write ? entry::writable | entry::dirty | spte::mmu_writable : 0) |
         ((access & rights::user) != 0 ? entry::user : 0) |
         ((access & rights::executable) != 0 ? 0 : entry::no_execute);
}

/// Rights of a leaf, as its own bits say.
constexpr Rights spte_rights(std::uint64_t value) {
  return static_cast<Rights>(((value & entry::no_execute) == 0 ? rights::executable : 0) |
                             ((value & entry::writable) != 0 ? rights::writable : 0) |
                             ((value & entry::user) != 0 ? rights::user : 0));
}

/// What a small piece of a huge leaf is. KVM: make_huge_page_split_spte().
constexpr std::uint64_t split_spte(std::uint64_t huge, unsigned level, unsigned index) {
  const std::uint64_t page = spte_frame(huge) + index * pages_of(level - 1);
  const std::uint64_t flags = huge & ~spte::address;
  return gfn_to_gpa(page) | (level == 2 ? flags & ~entry::page_size : flags);
}

/// Whether `now` forbids something that `old` allowed, so that TLBs must forget.
constexpr bool loses_rights(std::uint64_t old, std::uint64_t now) {
  const bool fewer = (old & ~now & (entry::writable | entry::user)) != 0;
  // Less user is more supervisor and the reverse (SMEP, SMAP): any change counts.
  const bool changed = ((old ^ now) & (entry::user | spte::address | entry::page_size)) != 0;
  return fewer || changed || (~old & now & entry::no_execute) != 0;
}

/// Write access that only the dirty log took away. KVM: fast_page_fault() may
/// restore it; nothing else is needed.
constexpr bool may_restore_write(std::uint64_t value) {
  return !spte_writable(value) && (value & spte::host_writable) != 0 &&
         (value & spte::mmu_writable) != 0;
}

/// Take write access away: for the dirty log it may come back, for a shadowed
/// table it may not. KVM: spte_write_protect().
constexpr std::uint64_t without_write(std::uint64_t value, bool for_good) {
  return value & ~(entry::writable | entry::dirty | (for_good ? spte::mmu_writable : 0));
}

// MMIO: a present entry with a reserved bit, so that hardware faults without a
// walk by software. It holds the gfn and part of the memslots' generation; only
// entries of the current generation count. KVM: make_mmio_spte().

namespace mmio {
inline constexpr unsigned generation_bits = 19;
inline constexpr std::uint64_t generation_mask = (1ull << generation_bits) - 1;
/// Generation bits 7:0 stand at 10:3, bits 18:8 at 62:52.
inline constexpr unsigned low_bits = 8;
inline constexpr unsigned low_shift = 3;
inline constexpr unsigned high_shift = 52;
/// The largest gfn that an entry can hold, plus one.
inline constexpr Gfn end_gfn = 1ull << (spte::host_maxphyaddr - page_shift);
}  // namespace mmio

/// Entry for a gfn without memslot; `gfn` is below mmio::end_gfn. Write and user
/// rights are kept for the emulator.
constexpr std::uint64_t mmio_spte(Gfn gfn, Rights access, std::uint64_t generation) {
  const std::uint64_t low = generation & ((1ull << mmio::low_bits) - 1);
  const std::uint64_t high = (generation & mmio::generation_mask) >> mmio::low_bits;
  return spte::mmio | entry::present | gfn_to_gpa(gfn) | low << mmio::low_shift |
         high << mmio::high_shift | (access & (rights::writable | rights::user));
}
constexpr bool is_mmio_spte(std::uint64_t value) {
  return (value & (spte::mmio | entry::present)) == (spte::mmio | entry::present);
}
constexpr Gfn mmio_gfn(std::uint64_t value) { return spte_frame(value); }
constexpr Rights mmio_rights(std::uint64_t value) {
  return static_cast<Rights>(value & (rights::writable | rights::user));
}
constexpr std::uint64_t mmio_generation(std::uint64_t value) {
  return ((value >> mmio::low_shift) & ((1ull << mmio::low_bits) - 1)) |
         ((value >> mmio::high_shift) & ((1ull << 11) - 1)) << mmio::low_bits;
}

}  // namespace lockstep::impl
