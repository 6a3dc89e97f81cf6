// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/x86/walk.h"

#include <gtest/gtest.h>

namespace lockstep::spec {
namespace {

constexpr std::uint64_t pwu = entry::present | entry::writable | entry::user;

PagingState state(PagingMode mode, std::initializer_list<ControlBit> on = {},
                  unsigned maxphyaddr = 40) {
  PagingState s;
  s.mode = mode;
  s.maxphyaddr = maxphyaddr;
  for (const ControlBit bit : on) s.control.set(bit, true);
  return s;
}

EntryRead::Kind kind(const PagingState& s, TableLevel level, std::uint64_t value) {
  return read_entry(s, level, value, {}).kind;
}

TEST(ReservedBits, AboveMaxphyaddrInEachMode) {
  const std::uint64_t bit40 = 1ull << 40;
  const std::uint64_t bit52 = 1ull << 52;
  const auto l4 = state(PagingMode::level4);
  const auto pae = state(PagingMode::pae);
  EXPECT_EQ(kind(l4, TableLevel::pt, pwu | bit40), EntryRead::Kind::reserved);
  EXPECT_EQ(kind(l4, TableLevel::pml4, pwu | bit40), EntryRead::Kind::reserved);
  EXPECT_EQ(kind(l4, TableLevel::pt, pwu | bit52), EntryRead::Kind::leaf);
  EXPECT_EQ(kind(pae, TableLevel::pt, pwu | bit52), EntryRead::Kind::reserved);
  EXPECT_EQ(kind(state(PagingMode::level4, {}, 41), TableLevel::pt, pwu | bit40),
            EntryRead::Kind::leaf);
}

TEST(ReservedBits, NoExecuteWithoutNxe) {
  EXPECT_EQ(kind(state(PagingMode::level4), TableLevel::pd, pwu | entry::no_execute),
            EntryRead::Kind::reserved);
  EXPECT_EQ(kind(state(PagingMode::level4, {ControlBit::efer_nx}), TableLevel::pd,
                 pwu | entry::no_execute),
            EntryRead::Kind::table);
}

TEST(ReservedBits, LargePages) {
  const auto l4 = state(PagingMode::level4);
  EXPECT_EQ(kind(l4, TableLevel::pd, pwu | entry::page_size | (1u << 13)),
            EntryRead::Kind::reserved);
  EXPECT_EQ(kind(l4, TableLevel::pd, pwu | entry::page_size | (1u << 12)), EntryRead::Kind::leaf);
  EXPECT_EQ(kind(l4, TableLevel::pdpt, pwu | entry::page_size | (1u << 29)),
            EntryRead::Kind::reserved);
  EXPECT_EQ(kind(l4, TableLevel::pml4, pwu | entry::page_size), EntryRead::Kind::reserved);
  auto no_gigabyte = l4;
  no_gigabyte.gigabyte_pages = false;
  EXPECT_EQ(kind(no_gigabyte, TableLevel::pdpt, pwu | entry::page_size), EntryRead::Kind::reserved);
}

TEST(ReservedBits, AmdReservesBit8OfUpperEntries) {
  auto amd = state(PagingMode::level4);
  EXPECT_EQ(kind(amd, TableLevel::pml4, pwu | entry::global), EntryRead::Kind::table);
  amd.amd = true;
  EXPECT_EQ(kind(amd, TableLevel::pml4, pwu | entry::global), EntryRead::Kind::reserved);
  EXPECT_EQ(kind(amd, TableLevel::pdpt, pwu | entry::global), EntryRead::Kind::table);
}

TEST(ReservedBits, NotPresentHasNone) {
  EXPECT_EQ(kind(state(PagingMode::level4), TableLevel::pt, ~0ull & ~entry::present),
            EntryRead::Kind::not_present);
}

TEST(Paging32, PageSizeExtensionAndPse36) {
  const std::uint64_t large = pwu | entry::page_size;
  const auto plain = state(PagingMode::bits32);
  const auto pse = state(PagingMode::bits32, {ControlBit::cr4_pse});
  EXPECT_EQ(kind(plain, TableLevel::pd, large | 0x1000), EntryRead::Kind::table);
  EXPECT_EQ(kind(pse, TableLevel::pd, large | (1u << 21)), EntryRead::Kind::reserved);
  const EntryRead read = read_entry(pse, TableLevel::pd, 0x0080'0000u | large | (1u << 13), {});
  ASSERT_EQ(read.kind, EntryRead::Kind::leaf);
  EXPECT_EQ(read.leaf.page, 0x1'0080'0000ull);
  EXPECT_EQ(read.leaf.size, 1ull << 22);
  auto narrow = state(PagingMode::bits32, {ControlBit::cr4_pse}, 36);
  EXPECT_EQ(kind(narrow, TableLevel::pd, large | (1u << 17)), EntryRead::Kind::reserved);
  EXPECT_EQ(kind(narrow, TableLevel::pd, large | (1u << 16)), EntryRead::Kind::leaf);
}

TEST(Paging32, HasNoExecuteDisable) {
  const EntryRead read = read_entry(state(PagingMode::bits32, {ControlBit::efer_nx}),
                                    TableLevel::pt, pwu | 0x2000, {});
  EXPECT_TRUE(read.leaf.rights.executable);
}

TEST(EntryAddress, EachModeSplitsTheAddressItsOwnWay) {
  const Gva gva = 0x0000'7fab'cdef'1234ull;
  EXPECT_EQ(entry_address(PagingMode::level4, TableLevel::pml4, 0x1000, gva),
            0x1000 + ((gva >> 39) & 511) * 8);
  EXPECT_EQ(entry_address(PagingMode::level4, TableLevel::pt, 0x1000, gva),
            0x1000 + ((gva >> 12) & 511) * 8);
  EXPECT_EQ(entry_address(PagingMode::bits32, TableLevel::pd, 0x1000, 0xffc0'0000),
            0x1000 + 1023 * 4);
  EXPECT_EQ(entry_address(PagingMode::pae, TableLevel::pdpt, 0x1000, 0xc000'0000), 0x1000 + 3 * 8);
}

TEST(Rights, CombineOverTheWalk) {
  const auto l4 = state(PagingMode::level4, {ControlBit::efer_nx});
  const EntryRead upper = read_entry(l4, TableLevel::pml4, entry::present | entry::user, {});
  const EntryRead leaf = read_entry(l4, TableLevel::pt, pwu, upper.rights);
  EXPECT_FALSE(leaf.leaf.rights.writable);
  EXPECT_TRUE(leaf.leaf.rights.user);
}

struct RightsCase {
  const char* name;
  std::initializer_list<ControlBit> control;
  Combined page;
  AccessRights access;
  std::optional<std::uint32_t> code;
};

TEST(Rights, AccessTable) {
  using enum ControlBit;
  using enum AccessKind;
  const Combined user_rw{true, true, true};
  const Combined user_ro{false, true, true};
  const Combined supervisor_ro{false, false, true};
  const Combined user_nx{true, true, false};
  constexpr auto p = fault::present;
  const RightsCase cases[] = {
      {"user reads user", {}, user_ro, {read, Cpl::user, false}, std::nullopt},
      {"user writes read-only",
       {},
       user_ro,
       {write, Cpl::user, false},
       p | fault::write | fault::user},
      {"user reads supervisor", {}, supervisor_ro, {read, Cpl::user, false}, p | fault::user},
      {"supervisor writes read-only, WP=0",
       {},
       user_ro,
       {write, Cpl::supervisor, false},
       std::nullopt},
      {"supervisor writes read-only, WP=1",
       {cr0_wp},
       user_ro,
       {write, Cpl::supervisor, false},
       p | fault::write},
      {"SMEP", {cr4_smep}, user_rw, {fetch, Cpl::supervisor, false}, p | fault::fetch},
      {"no SMEP", {}, user_rw, {fetch, Cpl::supervisor, false}, std::nullopt},
      {"SMAP", {cr4_smap}, user_rw, {read, Cpl::supervisor, false}, p},
      {"SMAP with AC", {cr4_smap}, user_rw, {read, Cpl::supervisor, true}, std::nullopt},
      {"SMAP leaves fetches alone",
       {cr4_smap},
       user_rw,
       {fetch, Cpl::supervisor, false},
       std::nullopt},
      {"NX", {efer_nx}, user_nx, {fetch, Cpl::user, false}, p | fault::user | fault::fetch},
      {"cached NX without NXE", {}, user_nx, {fetch, Cpl::user, false}, std::nullopt},
  };
  for (const RightsCase& c : cases) {
    Translated translation;
    translation.rights = c.page;
    EXPECT_EQ(permission_fault(state(PagingMode::level4, c.control), c.access, translation), c.code)
        << c.name;
  }
}

TEST(ProtectionKeys, DenyDataAccessesToUserAddresses) {
  auto s = state(PagingMode::level4, {ControlBit::cr4_pke, ControlBit::cr0_wp});
  Translated page;
  page.protection_key = 3;
  s.pkru = 1u << 6;  // access disable for key 3
  const AccessRights user_read{AccessKind::read, Cpl::user, false};
  EXPECT_EQ(permission_fault(s, user_read, page),
            fault::present | fault::user | fault::protection_key);
  EXPECT_EQ(permission_fault(s, {AccessKind::fetch, Cpl::user, false}, page), std::nullopt);
  s.pkru = 2u << 6;  // write disable
  EXPECT_EQ(permission_fault(s, user_read, page), std::nullopt);
  const AccessRights kernel_write{AccessKind::write, Cpl::supervisor, false};
  EXPECT_EQ(permission_fault(s, kernel_write, page),
            fault::present | fault::write | fault::protection_key);
  s.control.set(ControlBit::cr0_wp, false);
  EXPECT_EQ(permission_fault(s, kernel_write, page), std::nullopt);
  s.control.set(ControlBit::cr4_pke, false);
  s.pkru = 1u << 6;
  EXPECT_EQ(permission_fault(s, user_read, page), std::nullopt);
}

TEST(FaultCode, FetchShowsOnlyWhereItCanBeToldApart) {
  const AccessRights fetch{AccessKind::fetch, Cpl::user, false};
  EXPECT_EQ(fault_code(state(PagingMode::level4), fetch, false, false), fault::user);
  EXPECT_EQ(fault_code(state(PagingMode::level4, {ControlBit::efer_nx}), fetch, false, false),
            fault::user | fault::fetch);
  EXPECT_EQ(fault_code(state(PagingMode::bits32, {ControlBit::efer_nx}), fetch, false, false),
            static_cast<std::uint32_t>(fault::user));
  EXPECT_EQ(fault_code(state(PagingMode::bits32, {ControlBit::cr4_smep}), fetch, false, false),
            fault::user | fault::fetch);
}

TEST(Pdpte, ReservedBits) { EXPECT_EQ(pdpte_reserved_bits(36), 0xffff'fff0'0000'01e6ull); }

TEST(Canonical, ByModeWidth) {
  EXPECT_TRUE(canonical(PagingMode::level4, 0xffff'8000'0000'0000ull));
  EXPECT_FALSE(canonical(PagingMode::level4, 0x0000'8000'0000'0000ull));
  EXPECT_TRUE(canonical(PagingMode::level5, 0x0000'8000'0000'0000ull));
}

}  // namespace
}  // namespace lockstep::spec
