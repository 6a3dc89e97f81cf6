// SPDX-License-Identifier: GPL-2.0-or-later
/// Names of paging modes, page-table bits, error-code bits and access kinds.
/// Bit positions only (SDM volume 3, chapter "Paging"); no rule about what a
/// bit means stands here, so that spec/ and impl/ can each state the rules.
#pragma once

#include <cstdint>

namespace lockstep {

enum class PagingMode : std::uint8_t { none, bits32, pae, level4, level5 };

enum class AccessKind : std::uint8_t { read, write, fetch };

/// Current privilege level of an access; only the two that paging tells apart.
enum class Cpl : std::uint8_t { supervisor = 0, user = 3 };

/// Position of a table in the hierarchy, by what its entries are called.
enum class TableLevel : std::uint8_t { pt = 1, pd = 2, pdpt = 3, pml4 = 4, pml5 = 5 };

namespace entry {
inline constexpr std::uint64_t present = 1ull << 0;
inline constexpr std::uint64_t writable = 1ull << 1;
inline constexpr std::uint64_t user = 1ull << 2;
inline constexpr std::uint64_t write_through = 1ull << 3;
inline constexpr std::uint64_t cache_disable = 1ull << 4;
inline constexpr std::uint64_t accessed = 1ull << 5;
inline constexpr std::uint64_t dirty = 1ull << 6;
inline constexpr std::uint64_t page_size = 1ull << 7;
inline constexpr std::uint64_t global = 1ull << 8;
inline constexpr unsigned protection_key_shift = 59;
inline constexpr std::uint64_t protection_key = 0xfull << protection_key_shift;
inline constexpr std::uint64_t no_execute = 1ull << 63;
/// Bits 51:12, the address field of 8-byte entries at its widest.
inline constexpr std::uint64_t address = 0x000f'ffff'ffff'f000ull;
/// Bits 31:12, the address field of 4-byte entries.
inline constexpr std::uint64_t address32 = 0xffff'f000ull;
}  // namespace entry

namespace fault {
inline constexpr std::uint32_t present = 1u << 0;
inline constexpr std::uint32_t write = 1u << 1;
inline constexpr std::uint32_t user = 1u << 2;
inline constexpr std::uint32_t reserved = 1u << 3;
inline constexpr std::uint32_t fetch = 1u << 4;
inline constexpr std::uint32_t protection_key = 1u << 5;
}  // namespace fault

/// Bytes of one page-table entry of the mode.
constexpr unsigned entry_size(PagingMode mode) { return mode == PagingMode::bits32 ? 4 : 8; }

/// Entries of one page-table page of the mode.
constexpr unsigned entries_per_table(PagingMode mode) {
  return mode == PagingMode::bits32 ? 1024 : 512;
}

/// Level of the table that CR3 points to.
constexpr TableLevel root_level(PagingMode mode) {
  switch (mode) {
    case PagingMode::bits32:
      return TableLevel::pd;
    case PagingMode::pae:
      return TableLevel::pdpt;
    case PagingMode::level5:
      return TableLevel::pml5;
    default:
      return TableLevel::pml4;
  }
}

}  // namespace lockstep
