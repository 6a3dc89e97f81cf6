// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/walk_tables.h"

#include "impl/mutants.h"
#include "impl/permission_bitmap.h"

namespace lockstep::impl {

namespace {

bool long_mode(PagingMode mode) { return mode == PagingMode::level4 || mode == PagingMode::level5; }

void fill_bytes(std::array<std::uint8_t, access_count>& bytes,
                const AccessTable<std::uint64_t>& table) {
  for (std::size_t i = 0; i < access_count; ++i) bytes[i] = static_cast<std::uint8_t>(table[i]);
}

void fill_permission(WalkTables& tables, const PagingRegisters& registers) {
  const ControlBits& control = registers.control;
  const bool wp = control.has(ControlBit::cr0_wp);
  const bool smep = control.has(ControlBit::cr4_smep) && !mutant(Mutant::walk_without_smep);
  const bool keys = long_mode(registers.mode) && control.has(ControlBit::cr4_pke);
  fill_bytes(tables.permission,
             permission_table<std::uint64_t>(wp, smep, control.has(ControlBit::cr4_smap)));
  fill_bytes(tables.pkru, pkru_table<std::uint64_t>(keys, wp));
}

void fill_shape(WalkTables& tables, const PagingRegisters& registers) {
  tables.address_mask = entry::address;
  const bool nx = registers.control.has(ControlBit::efer_nx);
  const unsigned one_more = mutant(Mutant::maxphyaddr_one_more) ? 1 : 0;
  switch (registers.mode) {
    case PagingMode::bits32:
      tables.root = 2;
      tables.entry_bytes = 4;
      tables.index_bits = 10;
      tables.index_mask = 1023;
      tables.address_mask = entry::address32;
      tables.large_levels = registers.control.has(ControlBit::cr4_pse) ? 1u << 2 : 0;
      tables.reserved = reserved_masks_32<std::uint64_t>(
          registers.control.has(ControlBit::cr4_pse), registers.pse36,
          mutant(Mutant::reserved_from_bit_40) ? 40 : registers.maxphyaddr);
      return;
    case PagingMode::pae:
      tables.root = 2;
      tables.large_levels = 1u << 2;
      tables.reserved = reserved_masks_pae<std::uint64_t>(
          nx || mutant(Mutant::nx_taken_for_granted), registers.maxphyaddr);
      return;
    default:
      tables.root = registers.mode == PagingMode::level5 ? 5 : 4;
      tables.large_levels =
          static_cast<std::uint8_t>(1u << 2 | (registers.gigabyte_pages ? 1u << 3 : 0u));
      // Guests of ours run on Intel.
      tables.reserved = reserved_masks_long<std::uint64_t>(
          nx, registers.gigabyte_pages, /*amd=*/false, registers.maxphyaddr + one_more);
      if (mutant(Mutant::large_as_small)) tables.reserved[1] = tables.reserved[0];
      return;
  }
}

std::uint32_t key_of(const PagingRegisters& registers) {
  std::uint64_t control = 0;
  for (unsigned i = 0; i < control_bit_count; ++i) {
    control |= (registers.control.has(static_cast<ControlBit>(i)) ? 1ull : 0ull) << i;
  }
  return static_cast<std::uint32_t>(
      walk_key<std::uint64_t>({.mode = static_cast<std::uint64_t>(registers.mode),
                               .maxphyaddr = registers.maxphyaddr,
                               .control = control,
                               .gigabyte_pages = registers.gigabyte_pages,
                               .pse36 = registers.pse36}));
}

}  // namespace

WalkTables make_walk_tables(const PagingRegisters& registers) {
  WalkTables tables;
  const bool nx = registers.control.has(ControlBit::efer_nx) &&
                  (registers.mode != PagingMode::bits32 || mutant(Mutant::nx_in_32_bit));
  const bool smep = registers.control.has(ControlBit::cr4_smep) &&
                    !mutant(Mutant::walk_without_smep) && !mutant(Mutant::fetch_flag_without_smep);
  tables.nx_mask = nx ? entry::no_execute : 0;
  tables.id_flag = static_cast<std::uint32_t>(fetch_flag<std::uint64_t>(nx, smep));
  fill_permission(tables, registers);
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
  return reserved_of_pdpte<std::uint64_t>(maxphyaddr);
}

}  // namespace lockstep::impl
