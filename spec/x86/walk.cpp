// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/x86/walk.h"

#include "spec/x86/access_rules.h"
#include "spec/x86/format_rules.h"

namespace lockstep::spec {
namespace {

EntryFormat<std::uint64_t> entry_format(const PagingState& state) {
  return {.mode = state.mode,
          .page_size_extensions = state.control.has(ControlBit::cr4_pse),
          .no_execute = state.control.has(ControlBit::efer_nx),
          .gigabyte_pages = state.gigabyte_pages,
          .amd = state.amd,
          .maxphyaddr = state.maxphyaddr,
          .pse36_width = state.pse36_width};
}

std::uint64_t mapped_size(PagingMode mode, TableLevel level) {
  if (level == TableLevel::pt) return 1ull << 12;
  if (level == TableLevel::pdpt) return 1ull << 30;
  return mode == PagingMode::bits32 ? 1ull << 22 : 1ull << 21;
}

}  // namespace

std::uint64_t reserved_bits(const PagingState& state, TableLevel level, std::uint64_t value) {
  return entry_reserved<std::uint64_t>(entry_format(state), level, value);
}

std::uint64_t pdpte_reserved_bits(unsigned maxphyaddr) {
  return pdpte_register_reserved<std::uint64_t>(maxphyaddr);
}

EntryRead read_entry(const PagingState& state, TableLevel level, std::uint64_t value,
                     Combined before) {
  EntryRead read;
  if ((value & entry::present) == 0) return read;

  if (state.mode == PagingMode::pae && level == TableLevel::pdpt) {
    // A PDPTE register was checked when it was loaded; one that an SVM processor reads in
    // the walk was not (APM "Nested Paging", legacy PAE mode). It grants every right.
    const bool sound = (value & pdpte_reserved_bits(state.maxphyaddr)) == 0;
    read.kind = sound ? EntryRead::Kind::table : EntryRead::Kind::reserved;
    read.next = value & entry::address;
    read.rights = before;
    return read;
  }
  const auto format = entry_format(state);
  if ((value & entry_reserved<std::uint64_t>(format, level, value)) != 0) {
    read.kind = EntryRead::Kind::reserved;
    return read;
  }

  const auto grant = combine<std::uint64_t>(
      {.writable = before.writable, .user = before.user, .executable = before.executable}, value,
      /*has_no_execute=*/state.mode != PagingMode::bits32);
  read.rights = {.writable = grant.writable, .user = grant.user, .executable = grant.executable};

  if (!entry_maps_page<std::uint64_t>(format, level, value)) {
    read.kind = EntryRead::Kind::table;
    read.next = entry_target<std::uint64_t>(format, level, value);
    return read;
  }
  read.kind = EntryRead::Kind::leaf;
  read.leaf.page = entry_target<std::uint64_t>(format, level, value);
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
  return entry_address_of<std::uint64_t>(mode, level, table, gva);
}

namespace {

RightsControl<bool> rights_control(const PagingState& state) {
  return {.write_protect = state.control.has(ControlBit::cr0_wp),
          .smep = state.control.has(ControlBit::cr4_smep),
          .smap = state.control.has(ControlBit::cr4_smap),
          .protection_keys = state.control.has(ControlBit::cr4_pke) && is_long(state.mode),
          .no_execute = state.control.has(ControlBit::efer_nx)};
}

Attempt<bool> attempt(const AccessRights& access) {
  return {.write = access.kind == AccessKind::write,
          .fetch = access.kind == AccessKind::fetch,
          .user = access.cpl == Cpl::user,
          .ac = access.ac};
}

bool no_execute_works(const PagingState& state) {
  return state.control.has(ControlBit::efer_nx) && state.mode != PagingMode::bits32;
}

}  // namespace

std::optional<std::uint32_t> permission_fault(const PagingState& state, const AccessRights& access,
                                              const Translated& translation) {
  const auto& rights = translation.rights;
  const auto code = access_fault<std::uint64_t>(
      rights_control(state), no_execute_works(state), attempt(access),
      {.writable = rights.writable, .user = rights.user, .executable = rights.executable},
      state.pkru, translation.protection_key);
  if (code == 0) return std::nullopt;
  return static_cast<std::uint32_t>(code);
}

std::uint32_t fault_code(const PagingState& state, const AccessRights& access, bool present,
                         bool reserved) {
  return static_cast<std::uint32_t>(
      error_code<std::uint64_t>(attempt(access), state.control.has(ControlBit::cr4_smep),
                                no_execute_works(state), present, reserved, /*key=*/false));
}

bool canonical(PagingMode mode, Gva gva) {
  if (!is_long(mode)) return gva <= 0xffff'ffffull;
  const unsigned sign = mode == PagingMode::level5 ? 56 : 47;
  const Gva upper = gva >> sign;
  return upper == 0 || upper == (~0ull >> sign);
}

}  // namespace lockstep::spec
