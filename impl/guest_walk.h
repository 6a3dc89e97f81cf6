// SPDX-License-Identifier: GPL-2.0-or-later
/// The guest page walk, stateless: registers and entries in, translation or
/// error code out. SDM volume 3, chapter "Paging"; KVM: FNAME(walk_addr_generic)
/// and permission_fault().
#pragma once

#include <array>
#include <cstdint>

#include "impl/fault_steps.h"
#include "impl/mutants.h"
#include "impl/permission_bitmap.h"
#include "impl/walk_tables.h"
#include "spec/vocabulary/address.h"

namespace lockstep::impl {

/// Where a walk starts. `pdptes` counts under PAE only.
struct WalkRoot {
  Gpa table = 0;
  std::array<std::uint64_t, 4> pdptes{};
};

/// One walk. Arrays are indexed by level; only [leaf_level, root] are filled,
/// and after a fault only what was read before it.
struct GuestWalk {
  bool ok = false;
  std::uint32_t code = 0;       ///< #PF error code if not ok
  Gpa gpa = 0;                  ///< of the byte accessed
  std::uint64_t page_size = 0;  ///< bytes
  unsigned leaf_level = 0;
  Rights access = 0;  ///< of the whole path
  std::array<std::uint64_t, 6> entry{};
  std::array<Gpa, 6> entry_gpa{};
  std::array<Rights, 6> rights_through{};  ///< granted by the entries down to this level
};

namespace detail {

inline std::uint32_t access_code(const WalkTables& tables, const GuestAccess& access) {
  return static_cast<std::uint32_t>(
      access_bits<std::uint64_t>(access.kind == AccessKind::write, access.cpl == Cpl::user,
                                 access.kind == AccessKind::fetch, tables.id_flag));
}

/// P and PK bits of a permission fault; 0 if the access is allowed.
inline std::uint32_t permission_code(const WalkTables& tables, const GuestAccess& access,
                                     Rights have, std::uint64_t leaf, std::uint32_t pkru) {
  GuestAccess seen = access;
  if (mutant(Mutant::walk_ignores_ac)) seen.ac = false;
  const unsigned index = WalkTables::index(seen);
  return static_cast<std::uint32_t>(
      denied_bits<std::uint64_t>(tables.permission[index], tables.pkru[index], have, leaf, pkru));
}

/// Rights of one entry.
inline Rights rights_of(const WalkTables& tables, std::uint64_t value) {
  return static_cast<Rights>(entry_rights(value, tables.nx_mask));
}

}  // namespace detail

/// Walk `gva`. `read(gpa, bytes, value)` loads an entry of the guest and returns
/// whether memory is there; where none is, the entry counts as not present (as
/// KVM's walker does). Paging must be on.
template <typename Read>
GuestWalk walk_guest(const WalkTables& tables, const WalkRoot& root, Gva gva,
                     const GuestAccess& access, std::uint32_t pkru, Read&& read) {
  GuestWalk walk;
  const std::uint32_t base_code = detail::access_code(tables, access);
  Gpa table = root.table & (tables.entry_bytes == 4 ? entry::address32 : entry::address);
  if (tables.root == 2 && tables.entry_bytes == 8) {
    const std::uint64_t pdpte = root.pdptes[(gva >> 30) & 3];
    if ((pdpte & entry::present) == 0) {
      walk.code = base_code;
      return walk;
    }
    table = pdpte & entry::address;
  }

  Rights granted = rights::all;
  for (unsigned level = tables.root;; --level) {
    const unsigned shift = tables.shift(level);
    const Gpa at =
        entry_gpa<std::uint64_t>(table, gva, shift, tables.index_mask, tables.entry_bytes);
    std::uint64_t value = 0;
    walk.leaf_level = level;
    walk.entry_gpa[level] = at;
    if (!read(at, tables.entry_bytes, value)) value = 0;
    const unsigned large = (value >> 7) & 1;
    const auto stop = entry_stop<std::uint64_t>(value, tables.reserved[large][level], base_code);
    if (stop.stops) {
      walk.code = static_cast<std::uint32_t>(stop.code);
      return walk;
    }
    if (mutant(Mutant::last_entry_grants)) granted = rights::all;
    granted &= detail::rights_of(tables, value);
    walk.entry[level] = value;
    walk.rights_through[level] = granted;
    if (level != 1 && (large & (tables.large_levels >> level)) == 0) {
      table = value & tables.address_mask;
      continue;
    }
    if (const auto denied = detail::permission_code(tables, access, granted, value, pkru)) {
      walk.code = base_code | denied;
      return walk;
    }
    const std::uint64_t size = 1ull << shift;
    const Gpa page = level == 1 ? value & tables.address_mask
                                : large_page_base<std::uint64_t>(value, tables.address_mask, shift,
                                                                 tables.entry_bytes == 4);
    walk.ok = true;
    walk.page_size = size;
    walk.access = granted;
    walk.gpa = page | (gva & (size - 1));
    return walk;
  }
}

}  // namespace lockstep::impl
