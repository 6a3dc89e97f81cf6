// SPDX-License-Identifier: GPL-2.0-or-later
/// The bits of an SPTE: a 64-bit x86 entry that hardware can walk as it is.
#pragma once

#include <cstdint>

#include "impl/role.h"
#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::impl {

/// Entry that refers to a lower table. Grants everything: leaf SPTEs restrict.
/// KVM: make_nonleaf_spte().
constexpr std::uint64_t nonleaf_spte(Hfn table) {
  return gfn_to_gpa(table) | entry::present | entry::writable | entry::user | entry::accessed;
}

/// Entry that maps a host page. Accessed and, if writable, dirty are set ahead,
/// because the guest's own flags are kept by the guest walker. KVM: make_spte().
constexpr std::uint64_t leaf_spte(Hfn page, Rights access) {
  return gfn_to_gpa(page) | entry::present | entry::accessed |
         ((access & rights::writable) != 0 ? entry::writable | entry::dirty : 0) |
         ((access & rights::user) != 0 ? entry::user : 0) |
         ((access & rights::executable) != 0 ? 0 : entry::no_execute);
}

constexpr Hfn spte_frame(std::uint64_t spte) { return (spte & entry::address) >> page_shift; }
constexpr bool spte_writable(std::uint64_t spte) { return (spte & entry::writable) != 0; }

/// Whether `now` forbids something that `old` allowed, so that TLBs must forget.
constexpr bool loses_rights(std::uint64_t old, std::uint64_t now) {
  const bool fewer = (old & ~now & (entry::writable | entry::user)) != 0;
  // Less user is more supervisor and the reverse (SMEP, SMAP): any change counts.
  const bool changed = ((old ^ now) & (entry::user | entry::address)) != 0;
  return fewer || changed || (~old & now & entry::no_execute) != 0;
}

}  // namespace lockstep::impl
