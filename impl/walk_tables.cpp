// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/walk_tables.h"

#include <algorithm>

namespace lockstep::impl {

namespace {

/// Bits high:low; none if high < low.
constexpr std::uint64_t bits(unsigned high, unsigned low) {
  if (high < low) return 0;
  return (~0ull >> (63 - high)) & (~0ull << low);
}

constexpr bool bit(unsigned index, unsigned position) { return ((index >> position) & 1) != 0; }

bool long_mode(PagingMode mode) { return mode == PagingMode::level4 || mode == PagingMode::level5; }

void fill_permission(WalkTables& tables, const ControlBits& control) {
  const bool wp = control.has(ControlBit::cr0_wp);
  const bool smep = control.has(ControlBit::cr4_smep);
  const bool smap = control.has(ControlBit::cr4_smap);
  for (unsigned index = 0; index < tables.permission.size(); ++index) {
    const bool write = bit(index, 0), user = bit(index, 1), fetch = bit(index, 2),
               ac = bit(index, 3);
    for (unsigned have = 0; have <= rights::all; ++have) {
      const bool user_page = (have & rights::user) != 0;
      bool fault = user && !user_page;
      fault |= write && (have & rights::writable) == 0 && (user || wp);
      fault |= fetch && (have & rights::executable) == 0;
      fault |= fetch && !user && user_page && smep;
      fault |= !fetch && !user && user_page && smap && !ac;
      if (fault) tables.permission[index] |= static_cast<std::uint8_t>(1u << have);
    }
  }
}

void fill_pkru(WalkTables& tables, const PagingRegisters& registers) {
  if (!long_mode(registers.mode) || !registers.control.has(ControlBit::cr4_pke)) return;
  const bool wp = registers.control.has(ControlBit::cr0_wp);
  for (unsigned index = 0; index < tables.pkru.size(); ++index) {
    const bool write = bit(index, 0), user = bit(index, 1), fetch = bit(index, 2);
    if (fetch) continue;
    tables.pkru[index] = write && (user || wp) ? 3 : 1;
  }
}

void fill_reserved_bits32(WalkTables& tables, const PagingRegisters& registers) {
  if (!registers.control.has(ControlBit::cr4_pse)) return;
  const unsigned width = registers.pse36 ? std::clamp(registers.maxphyaddr, 32u, 40u) : 32u;
  // Address bits 39:32 stand in bits 20:13; those past the width are reserved, as is bit 21.
  tables.reserved[1][2] = bits(21, width - 32 + 13);
}

void fill_reserved_pae(WalkTables& tables, const PagingRegisters& registers) {
  const bool nx = registers.control.has(ControlBit::efer_nx);
  const std::uint64_t high = bits(62, registers.maxphyaddr) | (nx ? 0 : entry::no_execute);
  tables.reserved[0][1] = tables.reserved[1][1] = high;
  tables.reserved[0][2] = high;
  tables.reserved[1][2] = high | bits(20, 13);
}

void fill_reserved_long(WalkTables& tables, const PagingRegisters& registers) {
  const bool nx = registers.control.has(ControlBit::efer_nx);
  const std::uint64_t high = bits(51, registers.maxphyaddr) | (nx ? 0 : entry::no_execute);
  for (unsigned level = 1; level <= 5; ++level) {
    tables.reserved[0][level] = tables.reserved[1][level] = high;
  }
  tables.reserved[1][2] |= bits(20, 13);
  tables.reserved[1][3] |= registers.gigabyte_pages ? bits(29, 13) : entry::page_size;
  tables.reserved[1][4] |= entry::page_size;
  tables.reserved[1][5] |= entry::page_size;
}

void fill_shape(WalkTables& tables, const PagingRegisters& registers) {
  tables.address_mask = entry::address;
  switch (registers.mode) {
    case PagingMode::bits32:
      tables.root = 2;
      tables.entry_bytes = 4;
      tables.index_bits = 10;
      tables.index_mask = 1023;
      tables.address_mask = entry::address32;
      tables.large_levels = registers.control.has(ControlBit::cr4_pse) ? 1u << 2 : 0;
      fill_reserved_bits32(tables, registers);
      return;
    case PagingMode::pae:
      tables.root = 2;
      tables.large_levels = 1u << 2;
      fill_reserved_pae(tables, registers);
      return;
    default:
      tables.root = registers.mode == PagingMode::level5 ? 5 : 4;
      tables.large_levels =
          static_cast<std::uint8_t>(1u << 2 | (registers.gigabyte_pages ? 1u << 3 : 0u));
      fill_reserved_long(tables, registers);
      return;
  }
}

std::uint32_t key_of(const PagingRegisters& registers) {
  std::uint32_t key = static_cast<std::uint32_t>(registers.mode) | registers.maxphyaddr << 3;
  for (unsigned i = 0; i < control_bit_count; ++i) {
    key |= (registers.control.has(static_cast<ControlBit>(i)) ? 1u : 0u) << (9 + i);
  }
  return key | (registers.gigabyte_pages ? 1u << 17 : 0) | (registers.pse36 ? 1u << 18 : 0);
}

}  // namespace

WalkTables make_walk_tables(const PagingRegisters& registers) {
  WalkTables tables;
  const bool nx =
      registers.control.has(ControlBit::efer_nx) && registers.mode != PagingMode::bits32;
  tables.nx_mask = nx ? entry::no_execute : 0;
  tables.id_flag = nx || registers.control.has(ControlBit::cr4_smep) ? fault::fetch : 0;
  fill_permission(tables, registers.control);
  fill_pkru(tables, registers);
  fill_shape(tables, registers);
  return tables;
}

const WalkTables& cached_walk_tables(const PagingRegisters& registers) {
  struct Entry {
    std::uint32_t key = ~0u;
    WalkTables tables;
  };
  thread_local std::array<Entry, 1024> cache;
  const std::uint32_t key = key_of(registers);
  Entry& entry = cache[(key * 0x9e37'79b1u) >> 22];
  if (entry.key != key) entry = {key, make_walk_tables(registers)};
  return entry.tables;
}

std::uint64_t pdpte_reserved(unsigned maxphyaddr) {
  return bits(2, 1) | bits(8, 5) | bits(63, maxphyaddr);
}

}  // namespace lockstep::impl
