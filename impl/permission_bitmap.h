// SPDX-License-Identifier: GPL-2.0-or-later
/// The permission check as a lookup: a bit for each access and each combination
/// of rights, computed once for each value of the paging registers.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "impl/role.h"
#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Accesses are numbered by 4 bits: write, user, fetch, RFLAGS.AC.
inline constexpr std::size_t access_count = 16;

template <typename W>
using AccessTable = std::array<W, access_count>;

/// Number of an access, the index of an AccessTable.
template <typename W>
constexpr W access_index(BoolOf<W> write, BoolOf<W> user, BoolOf<W> fetch, BoolOf<W> ac) {
  return ite(write, W(1), 0) | ite(user, W(2), 0) | ite(fetch, W(4), 0) | ite(ac, W(8), 0);
}

namespace detail {

/// A byte with a bit for each Rights value that contains `right`.
constexpr std::uint64_t rights_with(Rights right) {
  std::uint64_t byte = 0;
  for (unsigned have = 0; have <= rights::all; ++have) {
    if ((have & right) != 0) byte |= 1u << have;
  }
  return byte;
}

}  // namespace detail

/// Bit `rights` of element access_index(): that access faults on a leaf with
/// these Rights. KVM: update_permission_bitmask().
///
/// No term for EFER.NX: where it is clear, no entry takes execution away.
template <typename W>
constexpr AccessTable<W> permission_table(BoolOf<W> wp, BoolOf<W> smep, BoolOf<W> smap) {
  using B = BoolOf<W>;
  constexpr std::uint64_t executable = detail::rights_with(rights::executable);
  constexpr std::uint64_t writable = detail::rights_with(rights::writable);
  constexpr std::uint64_t user_page = detail::rights_with(rights::user);
  constexpr std::uint64_t byte = 0xff;
  AccessTable<W> table{};
  for (std::size_t index = 0; index < access_count; ++index) {
    const bool write = (index & 1) != 0, user = (index & 2) != 0, fetch = (index & 4) != 0,
               ac = (index & 8) != 0;
    const W none = 0;
    W faults = user ? W(byte & ~user_page) : none;
    if (write) faults = faults | ite(B(user) || wp, W(byte & ~writable), 0);
    if (fetch) faults = faults | W(byte & ~executable);
    if (fetch && !user) faults = faults | ite(smep, W(user_page), 0);
    if (!fetch && !user && !ac) faults = faults | ite(smap, W(user_page), 0);
    table[index] = faults;
  }
  return table;
}

/// Which of a key's two PKRU bits (AD, WD) forbid the access to a user page.
/// `active`: CR4.PKE, in 4-level and 5-level paging. KVM: update_pkru_bitmask().
template <typename W>
constexpr AccessTable<W> pkru_table(BoolOf<W> active, BoolOf<W> wp) {
  using B = BoolOf<W>;
  AccessTable<W> table{};
  for (std::size_t index = 0; index < access_count; ++index) {
    const bool write = (index & 1) != 0, user = (index & 2) != 0, fetch = (index & 4) != 0;
    const W none = 0;
    if (fetch) {
      table[index] = none;
      continue;
    }
    const W stops = write ? ite(B(user) || wp, W(3), 1) : W(1);
    table[index] = ite(active, stops, 0);
  }
  return table;
}

/// Bits P and PK of a permission fault; 0 if the access is allowed. `permission`
/// and `pkru_bits` are the access's elements of the two tables, `have` the
/// Rights of the path, `leaf` the entry that maps the page. KVM:
/// permission_fault().
template <typename W>
constexpr W denied_bits(W permission, W pkru_bits, W have, W leaf, W pkru) {
  using B = BoolOf<W>;
  const B denied = ((permission >> have) & 1) != 0;
  const W key = (leaf & entry::protection_key) >> entry::protection_key_shift;
  const W stopped = (pkru >> (key * 2)) & pkru_bits;
  const B key_denies = (have & rights::user) != 0 && stopped != 0;
  return ite(denied || key_denies, W(fault::present), 0) |
         ite(key_denies, W(fault::protection_key), 0);
}

/// Bits W, U and I/D of an error code. `id_flag` is fault::fetch where the code
/// reports fetches.
template <typename W>
constexpr W access_bits(BoolOf<W> write, BoolOf<W> user, BoolOf<W> fetch, W id_flag) {
  return ite(write, W(fault::write), 0) | ite(user, W(fault::user), 0) | ite(fetch, id_flag, 0);
}

/// fault::fetch if the error code reports fetches, else 0. `nx_works`: EFER.NX in
/// a mode whose entries have the bit.
template <typename W>
constexpr W fetch_flag(BoolOf<W> nx_works, BoolOf<W> smep) {
  return ite(nx_works || smep, W(fault::fetch), 0);
}

/// Rights that one entry grants. `nx_mask` is entry::no_execute where that bit
/// takes execution away.
template <typename W>
constexpr W entry_rights(W value, W nx_mask) {
  return ite((value & nx_mask) == 0, W(rights::executable), 0) |
         (value & (entry::writable | entry::user));
}
static_assert(rights::writable == entry::writable && rights::user == entry::user);

}  // namespace lockstep::impl
