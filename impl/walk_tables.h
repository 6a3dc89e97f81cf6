// SPDX-License-Identifier: GPL-2.0-or-later
/// What the guest walker looks up instead of computing: one set of tables for
/// each value of the paging registers.
#pragma once

#include <array>
#include <cstdint>

#include "impl/permission_bitmap.h"
#include "impl/reserved_masks.h"
#include "impl/role.h"
#include "spec/vocabulary/address.h"
#include "spec/vocabulary/configuration.h"
#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// The registers and CPUID bits that decide how guest entries are read.
struct PagingRegisters {
  PagingMode mode = PagingMode::level4;
  ControlBits control{};
  unsigned maxphyaddr = 40;
  bool gigabyte_pages = true;
  bool pse36 = true;
  bool operator==(const PagingRegisters&) const = default;
};

/// Who accesses, and how.
struct GuestAccess {
  AccessKind kind = AccessKind::read;
  Cpl cpl = Cpl::user;
  bool ac = false;  ///< RFLAGS.AC
};

/// KVM: struct kvm_mmu's permissions, pkru_mask and guest_rsvd_check.
struct WalkTables {
  /// Bit `rights` of permission[index(access)]: that access faults on a leaf
  /// with these Rights. KVM: update_permission_bitmask().
  std::array<std::uint8_t, access_count> permission{};
  /// Which of a key's two PKRU bits (AD, WD) forbid the access to a user page.
  /// KVM: update_pkru_bitmask().
  std::array<std::uint8_t, access_count> pkru{};
  /// Reserved bits by [bit 7 of the entry][level]. KVM: reset_rsvds_bits_mask().
  ReservedMasks<std::uint64_t> reserved{};
  std::uint32_t id_flag = 0;      ///< fault::fetch if the error code reports fetches
  std::uint8_t root = 4;          ///< level of the first entry that is read
  std::uint8_t large_levels = 0;  ///< bit `level`: bit 7 makes a leaf there
  std::uint8_t entry_bytes = 8;
  std::uint8_t index_bits = 9;
  std::uint64_t index_mask = 511;
  std::uint64_t address_mask = 0;
  std::uint64_t nx_mask = 0;  ///< entry::no_execute if it takes rights away

  /// 4 bits: write, user, fetch, AC.
  static constexpr unsigned index(const GuestAccess& access) {
    return static_cast<unsigned>(
        access_index<std::uint64_t>(access.kind == AccessKind::write, access.cpl == Cpl::user,
                                    access.kind == AccessKind::fetch, access.ac));
  }
  unsigned shift(unsigned level) const {
    return static_cast<unsigned>(page_shift) + (level - 1) * index_bits;
  }
};

/// PagingRegisters as words: what must be equal before tables are used again.
template <typename W>
struct WalkRegisters {
  W mode = 0;        ///< below 8
  W maxphyaddr = 0;  ///< below 64
  W control = 0;     ///< a bit for each ControlBit
  BoolOf<W> gigabyte_pages = false;
  BoolOf<W> pse36 = false;
};
/// All of them in 19 bits.
template <typename W>
constexpr W walk_key(const WalkRegisters<W>& registers) {
  return registers.mode | (registers.maxphyaddr << 3) | (registers.control << 9) |
         ite(registers.gigabyte_pages, W(1ull << 17), 0) | ite(registers.pse36, W(1ull << 18), 0);
}
static_assert(control_bit_count == 8);

/// Compute the tables of a register state.
WalkTables make_walk_tables(const PagingRegisters& registers);

/// The same from a cache of the calling thread; valid until its next call.
const WalkTables& cached_walk_tables(const PagingRegisters& registers);

/// Reserved bits of a present PDPTE when PAE paging loads it. SDM "PDPTE
/// Registers".
std::uint64_t pdpte_reserved(unsigned maxphyaddr);

}  // namespace lockstep::impl
