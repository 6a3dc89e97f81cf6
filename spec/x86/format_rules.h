// SPDX-License-Identifier: GPL-2.0-or-later
/// What the bits of an entry mean, as the manual states it: SDM volume 3,
/// "Paging", the tables "Format of ..." of each mode.
///
/// Templates over a word W (spec/vocabulary/word.h). Mode and level are always
/// known, so that the rules may branch on them; registers and entries need not
/// be.
#pragma once

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/word.h"

namespace lockstep::spec {

/// The registers and CPUID bits that decide how entries are read.
template <typename W>
struct EntryFormat {
  PagingMode mode = PagingMode::level4;
  BoolOf<W> page_size_extensions = false;  ///< CR4.PSE
  BoolOf<W> no_execute = false;            ///< EFER.NXE
  BoolOf<W> gigabyte_pages = false;        ///< CPUID Page1GB
  /// AMD64 reserves bit 8 of PML5E and PML4E, Intel 64 ignores it
  /// (__reset_rsvds_bits_mask(): nonleaf_bit8_rsvd).
  BoolOf<W> amd = false;
  W maxphyaddr = 52;   ///< bits
  W pse36_width = 40;  ///< bits of address that a 4-MByte page reaches
};

constexpr bool is_long(PagingMode mode) {
  return mode == PagingMode::level4 || mode == PagingMode::level5;
}

/// Whether a present entry maps a page instead of referring to a table.
template <typename W>
BoolOf<W> entry_maps_page(const EntryFormat<W>& format, TableLevel level, W value) {
  const BoolOf<W> page_size_set = (value & entry::page_size) != 0;
  switch (level) {
    case TableLevel::pt:
      return true;
    case TableLevel::pd:
      if (format.mode == PagingMode::bits32) return page_size_set && format.page_size_extensions;
      return page_size_set;
    case TableLevel::pdpt:
      if (!is_long(format.mode)) return false;
      return page_size_set && format.gigabyte_pages;
    default:
      return false;
  }
}

/// SDM "32-Bit Paging": M is the minimum of 40 and MAXPHYADDR, 32 without PSE-36.
template <typename W>
W pse36_limit(const EntryFormat<W>& format) {
  return ite(format.pse36_width < format.maxphyaddr, format.pse36_width, format.maxphyaddr);
}

/// Bits of an entry that must be zero.
template <typename W>
W entry_reserved(const EntryFormat<W>& format, TableLevel level, W value) {
  const BoolOf<W> maps_page = entry_maps_page(format, level, value);
  if (format.mode == PagingMode::bits32) {
    // Only a PDE that maps a 4-MByte page has reserved bits: 21:(M-19).
    if (level != TableLevel::pd) return 0;
    return ite(maps_page, bit_range<W>(21, pse36_limit(format) - 19), 0);
  }
  // PAE reserves 62:MAXPHYADDR; 4-level and 5-level paging ignore 62:52.
  const W always = bit_range<W>(is_long(format.mode) ? 51 : 62, format.maxphyaddr) |
                   ite(format.no_execute, W(0), entry::no_execute);
  if (level == TableLevel::pt) return always;
  if (level == TableLevel::pd) return always | ite(maps_page, bit_range<W>(20, 13), 0);
  // PS is reserved where no page can be mapped.
  if (level == TableLevel::pdpt) {
    return always | ite(maps_page, bit_range<W>(29, 13), entry::page_size);
  }
  return always | entry::page_size | ite(format.amd, W(entry::global), 0);
}

/// Base of the page or table that a present entry refers to.
template <typename W>
W entry_target(const EntryFormat<W>& format, TableLevel level, W value) {
  const BoolOf<W> maps_page = entry_maps_page(format, level, value);
  if (format.mode == PagingMode::bits32) {
    const W table = value & entry::address32;
    if (level == TableLevel::pt) return table;
    // Bits (M-20):13 of the PDE are bits (M-1):32 of the address.
    const W high = (value & bit_range<W>(pse36_limit(format) - 20, 13)) >> 13;
    return ite(maps_page, (high << 32) | (value & bit_range<W>(31, 22)), table);
  }
  const W address = value & entry::address;
  // Bit 12 of a large-page entry is its PAT bit.
  if (level == TableLevel::pd) return ite(maps_page, address & ~bit_range<W>(20, 12), address);
  if (level == TableLevel::pdpt) return ite(maps_page, address & ~bit_range<W>(29, 12), address);
  return address;
}

/// Bits of a PDPTE that must be zero when PAE paging loads it (SDM "PDPTE
/// Registers").
template <typename W>
W pdpte_register_reserved(W maxphyaddr) {
  return bit_range<W>(2, 1) | bit_range<W>(8, 5) | bit_range<W>(63, maxphyaddr);
}

/// Address of the entry that translates `gva` in the table at `table`.
template <typename W>
W entry_address_of(PagingMode mode, TableLevel level, W table, W gva) {
  const auto depth = static_cast<unsigned>(level) - 1;
  if (mode == PagingMode::bits32) return table + ((gva >> (12 + 10 * depth)) & 0x3ff) * 4;
  const bool four_entries = mode == PagingMode::pae && level == TableLevel::pdpt;
  return table + ((gva >> (12 + 9 * depth)) & (four_entries ? 0x3 : 0x1ff)) * 8;
}

}  // namespace lockstep::spec
