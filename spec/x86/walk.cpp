// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/x86/walk.h"

#include <algorithm>

namespace lockstep::spec {
namespace {

/// Bits high:low, both included; empty when high is below low.
constexpr std::uint64_t bits(unsigned high, unsigned low) {
  return high < low ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

bool is_long(PagingMode mode) { return mode == PagingMode::level4 || mode == PagingMode::level5; }

/// SDM "Paging": which entries of each mode map a page instead of a table.
bool maps_page(const PagingState& state, TableLevel level, std::uint64_t value) {
  switch (level) {
    case TableLevel::pt:
      return true;
    case TableLevel::pd:
      if (state.mode == PagingMode::bits32 && !state.control.has(ControlBit::cr4_pse)) return false;
      return (value & entry::page_size) != 0;
    case TableLevel::pdpt:
      return is_long(state.mode) && state.gigabyte_pages && (value & entry::page_size) != 0;
    default:
      return false;
  }
}

/// Width of the physical addresses that PSE-36 reaches. SDM "32-Bit Paging":
/// M is the minimum of 40 and MAXPHYADDR.
unsigned pse36_width(const PagingState& state) {
  return std::min(state.pse36_width, state.maxphyaddr);
}

std::uint64_t reserved_bits32(const PagingState& state, TableLevel level, std::uint64_t value) {
  // Only a PDE that maps a 4-MByte page has reserved bits: 21:(M-19).
  if (level != TableLevel::pd || !maps_page(state, level, value)) return 0;
  return bits(21, pse36_width(state) - 19);
}

/// Address of the page or table that an entry refers to.
Gpa target(const PagingState& state, TableLevel level, std::uint64_t value) {
  if (state.mode == PagingMode::bits32) {
    if (!maps_page(state, level, value) || level == TableLevel::pt) return value & entry::address32;
    // Bits (M-20):13 of the PDE are bits (M-1):32 of the address.
    const Gpa high = (value & bits(pse36_width(state) - 20, 13)) >> 13;
    return (high << 32) | (value & bits(31, 22));
  }
  const Gpa address = value & entry::address;
  if (!maps_page(state, level, value)) return address;
  // Bit 12 of a large-page entry is its PAT bit.
  if (level == TableLevel::pd) return address & ~bits(20, 12);
  if (level == TableLevel::pdpt) return address & ~bits(29, 12);
  return address;
}

std::uint64_t mapped_size(PagingMode mode, TableLevel level) {
  if (level == TableLevel::pt) return 1ull << 12;
  if (level == TableLevel::pdpt) return 1ull << 30;
  return mode == PagingMode::bits32 ? 1ull << 22 : 1ull << 21;
}

}  // namespace

std::uint64_t reserved_bits(const PagingState& state, TableLevel level, std::uint64_t value) {
  if (state.mode == PagingMode::bits32) return reserved_bits32(state, level, value);

  // PAE reserves 62:MAXPHYADDR; 4-level and 5-level paging ignore 62:52.
  std::uint64_t reserved =
      is_long(state.mode) ? bits(51, state.maxphyaddr) : bits(62, state.maxphyaddr);
  if (!state.control.has(ControlBit::efer_nx)) reserved |= entry::no_execute;

  if (maps_page(state, level, value)) {
    if (level == TableLevel::pd) reserved |= bits(20, 13);
    if (level == TableLevel::pdpt) reserved |= bits(29, 13);
    return reserved;
  }
  // PS is reserved where no page can be mapped.
  if (level != TableLevel::pt && level != TableLevel::pd) {
    reserved |= entry::page_size;
    if (state.amd && level != TableLevel::pdpt) reserved |= entry::global;
  }
  return reserved;
}

std::uint64_t pdpte_reserved_bits(unsigned maxphyaddr) {
  return bits(2, 1) | bits(8, 5) | bits(63, maxphyaddr);
}

EntryRead read_entry(const PagingState& state, TableLevel level, std::uint64_t value,
                     Combined before) {
  EntryRead read;
  if ((value & entry::present) == 0) return read;

  if (state.mode == PagingMode::pae && level == TableLevel::pdpt) {
    // A PDPTE register: checked when it was loaded, grants every right.
    read.kind = EntryRead::Kind::table;
    read.next = value & entry::address;
    read.rights = before;
    return read;
  }
  if ((value & reserved_bits(state, level, value)) != 0) {
    read.kind = EntryRead::Kind::reserved;
    return read;
  }

  // SDM "Access Rights": a right holds only if every entry of the walk grants it.
  read.rights.writable = before.writable && (value & entry::writable) != 0;
  read.rights.user = before.user && (value & entry::user) != 0;
  const bool has_no_execute = state.mode != PagingMode::bits32;
  read.rights.executable =
      before.executable && !(has_no_execute && (value & entry::no_execute) != 0);

  if (!maps_page(state, level, value)) {
    read.kind = EntryRead::Kind::table;
    read.next = target(state, level, value);
    return read;
  }
  read.kind = EntryRead::Kind::leaf;
  read.leaf.page = target(state, level, value);
  read.leaf.size = mapped_size(state.mode, level);
  read.leaf.rights = read.rights;
  read.leaf.global = state.control.has(ControlBit::cr4_pge) && (value & entry::global) != 0;
  read.leaf.dirty = (value & entry::dirty) != 0;
  if (is_long(state.mode)) {
    read.leaf.protection_key =
        static_cast<unsigned>((value & entry::protection_key) >> entry::protection_key_shift);
  }
  return read;
}

Gpa entry_address(PagingMode mode, TableLevel level, Gpa table, Gva gva) {
  const auto depth = static_cast<unsigned>(level) - 1;
  if (mode == PagingMode::bits32) {
    return table + ((gva >> (12 + 10 * depth)) & 0x3ff) * 4;
  }
  const Gva index_mask = mode == PagingMode::pae && level == TableLevel::pdpt ? 0x3 : 0x1ff;
  return table + ((gva >> (12 + 9 * depth)) & index_mask) * 8;
}

std::optional<std::uint32_t> permission_fault(const PagingState& state, const AccessRights& access,
                                              const Translated& translation) {
  const bool user_access = access.cpl == Cpl::user;
  const bool user_page = translation.rights.user;
  const bool write = access.kind == AccessKind::write;
  const bool fetch = access.kind == AccessKind::fetch;
  const bool write_protect = state.control.has(ControlBit::cr0_wp);

  // SDM "Determination of Access Rights".
  bool allowed = true;
  if (user_access && !user_page) allowed = false;
  if (write && !translation.rights.writable && (user_access || write_protect)) allowed = false;
  // A cached XD flag denies nothing once EFER.NXE is clear.
  if (fetch && !translation.rights.executable && state.control.has(ControlBit::efer_nx)) {
    allowed = false;
  }
  if (!user_access && user_page) {
    if (fetch && state.control.has(ControlBit::cr4_smep)) allowed = false;
    if (!fetch && state.control.has(ControlBit::cr4_smap) && !access.ac) allowed = false;
  }

  // SDM "Protection Keys": data accesses to user-mode addresses, at any CPL.
  bool key_denies = false;
  if (state.control.has(ControlBit::cr4_pke) && is_long(state.mode) && user_page && !fetch) {
    const std::uint32_t rights = state.pkru >> (2 * translation.protection_key);
    const bool access_disable = (rights & 1u) != 0;
    const bool write_disable = (rights & 2u) != 0;
    key_denies = access_disable || (write_disable && write && (user_access || write_protect));
  }

  if (allowed && !key_denies) return std::nullopt;
  std::uint32_t code = fault_code(state, access, /*present=*/true, /*reserved=*/false);
  if (key_denies) code |= fault::protection_key;
  return code;
}

std::uint32_t fault_code(const PagingState& state, const AccessRights& access, bool present,
                         bool reserved) {
  std::uint32_t code = 0;
  if (present) code |= fault::present;
  if (reserved) code |= fault::reserved;
  if (access.kind == AccessKind::write) code |= fault::write;
  if (access.cpl == Cpl::user) code |= fault::user;
  // SDM "Page-Fault Exceptions": I/D is reported only where fetches can be
  // told apart: SMEP, or NX in a paging mode that has the bit.
  const bool no_execute_works =
      state.control.has(ControlBit::efer_nx) && state.mode != PagingMode::bits32;
  if (access.kind == AccessKind::fetch &&
      (state.control.has(ControlBit::cr4_smep) || no_execute_works)) {
    code |= fault::fetch;
  }
  return code;
}

bool canonical(PagingMode mode, Gva gva) {
  if (!is_long(mode)) return gva <= 0xffff'ffffull;
  const unsigned sign = mode == PagingMode::level5 ? 56 : 47;
  const Gva upper = gva >> sign;
  return upper == 0 || upper == (~0ull >> sign);
}

}  // namespace lockstep::spec
