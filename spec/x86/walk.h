// SPDX-License-Identifier: GPL-2.0-or-later
/// One page walk over given entries: SDM volume 3, chapter "Paging".
///
/// The walk itself has no memory and no caches: the caller supplies each entry.
/// A walk is a fold over levels from the root down, so that the same rules
/// serve a plain walk, a walk through history, and a walk from a cached prefix.
#pragma once

#include <cstdint>
#include <optional>

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/configuration.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::spec {

/// The registers that decide how entries are read.
struct PagingState {
  PagingMode mode = PagingMode::level4;
  ControlBits control;
  unsigned maxphyaddr = 40;    ///< bits
  bool gigabyte_pages = true;  ///< CPUID Page1GB
  /// Bits of physical address that a 4-MByte page reaches: 40 with PSE-36, 32
  /// without. Never more than maxphyaddr.
  unsigned pse36_width = 40;
  std::uint32_t pkru = 0;
  /// AMD64 reserves bit 8 of PML5E and PML4E, Intel 64 ignores it
  /// (__reset_rsvds_bits_mask(): nonleaf_bit8_rsvd).
  bool amd = false;
};

/// Who accesses, and how.
struct AccessRights {
  AccessKind kind = AccessKind::read;
  Cpl cpl = Cpl::user;
  bool ac = false;  ///< RFLAGS.AC
};

/// What the entries read so far grant together ("combined" rights).
struct Combined {
  bool writable = true;
  bool user = true;
  bool executable = true;
  bool operator==(const Combined&) const = default;
};

/// A complete translation: what a TLB entry holds.
struct Translated {
  Gpa page = 0;            ///< base of the page, in bytes
  std::uint64_t size = 0;  ///< of the page, in bytes
  Combined rights;
  bool global = false;
  bool dirty = false;  ///< the leaf's dirty flag when it was read
  unsigned protection_key = 0;
  bool operator==(const Translated&) const = default;
};

/// What one entry says.
struct EntryRead {
  enum class Kind : std::uint8_t { not_present, reserved, table, leaf };
  Kind kind = Kind::not_present;
  Gpa next = 0;     ///< table: gpa of the next table
  Combined rights;  ///< combined with what came before
  Translated leaf;  ///< leaf: the translation
};

/// Bits of an entry that must be zero at this level and mode. SDM "Paging":
/// the tables "Format of ..." of each mode; MAXPHYADDR in "Enumeration of
/// Paging Features by CPUID".
std::uint64_t reserved_bits(const PagingState& state, TableLevel level, std::uint64_t entry);

/// Bits of a PDPTE that must be zero when PAE paging loads it (SDM "PDPTE
/// Registers"); a present PDPTE with one of them set makes the load #GP.
std::uint64_t pdpte_reserved_bits(unsigned maxphyaddr);

/// Read one entry of a walk. `before` is what the levels above grant.
/// For PAE the caller starts at the PDPTE (which grants everything and has no
/// reserved-bit check left); for 32-bit paging at the PDE.
EntryRead read_entry(const PagingState& state, TableLevel level, std::uint64_t entry,
                     Combined before);

/// The gpa of the entry that translates `gva` in the table at `table`.
Gpa entry_address(PagingMode mode, TableLevel level, Gpa table, Gva gva);

/// Whether a translation with these rights permits the access, and if not the
/// error code with P=1. SDM "Access Rights" and "Protection Keys".
std::optional<std::uint32_t> permission_fault(const PagingState& state, const AccessRights& access,
                                              const Translated& translation);

/// Error code of a fault at a not-present (reserved=false) or reserved entry.
std::uint32_t fault_code(const PagingState& state, const AccessRights& access, bool present,
                         bool reserved);

/// Whether the address may be translated at all: canonical in 64-bit modes
/// (SDM "Canonical Addressing"); a 32-bit address otherwise.
bool canonical(PagingMode mode, Gva gva);

}  // namespace lockstep::spec
