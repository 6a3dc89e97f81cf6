// SPDX-License-Identifier: GPL-2.0-or-later
/// Which entry of which level a linear address selects: what setup sugar and
/// the format's rules need of the page-table layout. SDM volume 3, chapter
/// "Paging"; no access rule stands here.
#pragma once

#include <cstdint>

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::spec {

constexpr bool is_64bit(PagingMode mode) {
  return mode == PagingMode::level4 || mode == PagingMode::level5;
}

/// Lowest bit of the linear address that selects an entry of this level; also
/// the binary logarithm of the bytes that the entry covers.
constexpr unsigned level_shift(PagingMode mode, TableLevel level) {
  const unsigned bits = mode == PagingMode::bits32 ? 10 : 9;
  return page_shift + bits * (static_cast<unsigned>(level) - 1);
}

/// Index of the entry that translates the address at this level.
constexpr unsigned level_index(PagingMode mode, TableLevel level, Gva gva) {
  const bool pdpte = mode == PagingMode::pae && level == TableLevel::pdpt;
  const std::uint64_t mask = pdpte ? 3 : entries_per_table(mode) - 1;
  return static_cast<unsigned>((gva >> level_shift(mode, level)) & mask);
}

/// Whether an address is one the mode can translate: sign-extended from the
/// highest translated bit, or of 32 bits.
constexpr bool is_translatable(PagingMode mode, Gva gva) {
  if (!is_64bit(mode)) return gva < 1ull << 32;
  const unsigned width = mode == PagingMode::level5 ? 57 : 48;
  const std::uint64_t high = gva >> (width - 1);
  return high == 0 || high == ~0ull >> (width - 1);
}

/// Address field of an entry of the mode.
constexpr std::uint64_t entry_address_field(PagingMode mode) {
  return mode == PagingMode::bits32 ? entry::address32 : entry::address;
}

}  // namespace lockstep::spec
