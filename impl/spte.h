// SPDX-License-Identifier: GPL-2.0-or-later
/// The bits of an SPTE: a 64-bit x86 entry that hardware can walk as it is.
/// Bits 9 to 11 are software's (SDM "4-Level Paging": ignored).
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs.
#pragma once

#include <cstdint>
#include <type_traits>

#include "impl/mmio_encoding.h"
#include "impl/role.h"
#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/word.h"

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

template <typename W>
constexpr BoolOf<W> spte_present(W value) {
  return (value & spte::shadow_present) != 0;
}
template <typename W>
constexpr W spte_frame(W value) {
  return (value & spte::address) >> page_shift;
}
template <typename W>
constexpr BoolOf<W> spte_writable(W value) {
  return (value & entry::writable) != 0;
}
template <typename W>
constexpr BoolOf<W> spte_large(W value) {
  return (value & entry::page_size) != 0;
}
/// A present SPTE of the level is a leaf.
template <typename W>
constexpr BoolOf<W> spte_leaf(W value, std::type_identity_t<W> level) {
  return level == W(1) || spte_large(value);
}

/// Entry that refers to a lower table. Grants everything: leaf SPTEs restrict.
/// KVM: make_nonleaf_spte().
constexpr std::uint64_t nonleaf_spte(Hfn table) {
  return gfn_to_gpa(table) | spte::shadow_present | entry::present | entry::writable | entry::user |
         entry::accessed;
}

/// What a leaf is made from.
template <typename W>
struct LeafRequest {
  W level = 1;
  W frame = 0;                      ///< host frame, aligned to the level
  W access = 0;                     ///< Rights of the guest's path under the page's role
  BoolOf<W> host_writable = false;  ///< the host lets the page be written
  BoolOf<W> read_only = false;      ///< the slot does not
  BoolOf<W> tracked = false;        ///< the gfn is a guest page table that must not be written
  BoolOf<W> nx_huge = false;        ///< huge pages are not executable

  /// Whether the page may be written for all that host and slot say.
  constexpr BoolOf<W> may_write() const { return host_writable && !read_only; }
};

/// Entry that maps a host page, or a huge one at level 2 and 3. Accessed and, if
/// writable, dirty are set ahead, because the guest's own flags are kept by the
/// guest walker. KVM: make_spte().
template <typename W>
constexpr W leaf_spte(const LeafRequest<W>& request) {
  using B = BoolOf<W>;
  const B huge = request.level > W(1);
  const B executable = (request.access & rights::executable) != 0 && !(huge && request.nx_huge);
  const B writable =
      (request.access & rights::writable) != 0 && request.may_write() && !request.tracked;
  return (request.frame << page_shift) | spte::shadow_present | entry::present | entry::accessed |
         ite(executable, W(0), entry::no_execute) |
         ite((request.access & rights::user) != 0, W(entry::user), 0) |
         ite(huge, W(entry::page_size), 0) | ite(request.may_write(), W(spte::host_writable), 0) |
         ite(writable, W(entry::writable | spte::mmu_writable | entry::dirty), 0);
}

/// Rights of a leaf, as its own bits say.
constexpr Rights spte_rights(std::uint64_t value) {
  return static_cast<Rights>(((value & entry::no_execute) == 0 ? rights::executable : 0) |
                             ((value & entry::writable) != 0 ? rights::writable : 0) |
                             ((value & entry::user) != 0 ? rights::user : 0));
}

/// What a small piece of a huge leaf of `level` is. KVM:
/// make_huge_page_split_spte(), make_small_spte().
template <typename W>
constexpr W split_spte(W huge, std::type_identity_t<W> level, std::type_identity_t<W> index) {
  const W piece = huge + ((index * pages_at(level - 1)) << page_shift);
  return ite(level == W(2), piece & ~W(entry::page_size), piece);
}

/// Whether `now` forbids something that `old` allowed, so that TLBs must forget.
template <typename W>
constexpr BoolOf<W> loses_rights(W old, std::type_identity_t<W> now) {
  const BoolOf<W> fewer = (old & ~now & (entry::writable | entry::user)) != 0;
  // Less user is more supervisor and the reverse (SMEP, SMAP): any change counts.
  const BoolOf<W> changed = ((old ^ now) & (entry::user | spte::address | entry::page_size)) != 0;
  return fewer || changed || (~old & now & entry::no_execute) != 0;
}

/// Write access that only the dirty log took away. KVM: fast_page_fault() may
/// restore it; nothing else is needed.
template <typename W>
constexpr BoolOf<W> may_restore_write(W value) {
  return !spte_writable(value) && (value & spte::host_writable) != 0 &&
         (value & spte::mmu_writable) != 0;
}
/// The SPTE that a fault makes of it.
template <typename W>
constexpr W with_write(W value) {
  return value | entry::writable | entry::dirty | entry::accessed;
}

/// Take write access away: for the dirty log it may come back, for a shadowed
/// table it may not. KVM: spte_write_protect().
template <typename W>
constexpr W without_write(W value, BoolOf<W> for_good) {
  const W kept = value & ~W(entry::writable | entry::dirty);
  return ite(for_good, kept & ~W(spte::mmu_writable), kept);
}

// MMIO: a present entry with a reserved bit, so that hardware faults without a
// walk by software. It holds the gfn and part of the memslots' generation; only
// entries of the current generation count. KVM: make_mmio_spte().

namespace mmio {
inline constexpr unsigned generation_bits = 19;
/// Generation bits 7:0 stand at 10:3, bits 18:8 at 62:52, as in 6.1 on a
/// processor without L1TF.
template <typename W>
constexpr MmioLayout<W> layout() {
  return {.low_bits = 8,
          .high_bits = generation_bits - 8,
          .mask = spte::mmio | entry::present,
          .value = spte::mmio | entry::present,
          .access_mask = rights::writable | rights::user,
          .inverted = 0,
          .lower_gfn_mask = spte::address};
}
inline constexpr std::uint64_t generation_mask = impl::generation_mask(layout<std::uint64_t>());
/// The largest gfn that an entry can hold, plus one.
inline constexpr Gfn end_gfn = 1ull << (spte::host_maxphyaddr - page_shift);
}  // namespace mmio

/// Entry for a gfn without memslot; `gfn` is below mmio::end_gfn. Write and user
/// rights are kept for the emulator.
constexpr std::uint64_t mmio_spte(Gfn gfn, Rights access, std::uint64_t generation) {
  return encode_mmio<std::uint64_t>(mmio::layout<std::uint64_t>(), gfn, access, generation);
}
constexpr bool is_mmio_spte(std::uint64_t value) {
  return is_mmio(mmio::layout<std::uint64_t>(), value);
}
constexpr Gfn mmio_gfn(std::uint64_t value) {
  return decode_mmio_gfn(mmio::layout<std::uint64_t>(), value);
}
constexpr Rights mmio_rights(std::uint64_t value) {
  return static_cast<Rights>(decode_mmio_access(mmio::layout<std::uint64_t>(), value));
}
constexpr std::uint64_t mmio_generation(std::uint64_t value) {
  return decode_mmio_generation(mmio::layout<std::uint64_t>(), value);
}
/// Whether the entry may be used under this generation of the memslots.
constexpr bool mmio_current(std::uint64_t value, std::uint64_t generation) {
  return mmio_hit(mmio::layout<std::uint64_t>(), value, generation);
}

}  // namespace lockstep::impl
