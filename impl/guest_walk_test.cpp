// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/guest_walk.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace lockstep::impl {
namespace {

using enum ControlBit;

constexpr std::uint64_t p = entry::present, w = entry::writable, u = entry::user,
                        a = entry::accessed, ps = entry::page_size, nx = entry::no_execute;
constexpr std::uint64_t table = p | w | u | a;

constexpr GuestAccess r3{AccessKind::read, Cpl::user, false};
constexpr GuestAccess w3{AccessKind::write, Cpl::user, false};
constexpr GuestAccess x3{AccessKind::fetch, Cpl::user, false};
constexpr GuestAccess r0{AccessKind::read, Cpl::supervisor, false};
constexpr GuestAccess w0{AccessKind::write, Cpl::supervisor, false};
constexpr GuestAccess x0{AccessKind::fetch, Cpl::supervisor, false};
constexpr GuestAccess r0ac{AccessKind::read, Cpl::supervisor, true};

constexpr std::uint64_t key(std::uint64_t number) { return number << entry::protection_key_shift; }

/// One walk: entries from the root down, and what it must give.
struct Case {
  const char* name;
  PagingMode mode;
  std::initializer_list<ControlBit> control;
  GuestAccess access;
  Gva gva;
  std::vector<std::uint64_t> entries;  ///< PAE: the PDPTE first
  std::optional<std::uint32_t> code;   ///< none: it translates
  Gpa gpa = 0;
  unsigned maxphyaddr = 40;
  std::uint32_t pkru = 0;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

constexpr auto none = PagingMode::bits32;
constexpr auto pae = PagingMode::pae;
constexpr auto l4 = PagingMode::level4;
constexpr auto l5 = PagingMode::level5;

const Case cases[] = {
    // 32-bit paging.
    {"bits32 4K", none, {cr0_wp}, w3, 0x0040'3456, {0x2000 | table, 0x7000 | table}, {}, 0x7456},
    {"bits32 not present", none, {cr0_wp}, w3, 0, {0x2000 | table, 0}, 6u},
    {"bits32 PS without PSE is a table",
     none,
     {},
     r3,
     0x3010,
     {0x2000 | table | ps, 0x9000 | table},
     {},
     0x9010},
    {"bits32 4M", none, {cr4_pse}, r3, 0x0012'3456, {0x0080'0000 | table | ps}, {}, 0x0092'3456},
    {"bits32 PSE-36",
     none,
     {cr4_pse},
     r3,
     0x0000'0456,
     {0x0080'0000 | table | ps | 0x3 << 13},
     {},
     0x3'0080'0456},
    {"bits32 4M reserved bit 21",
     none,
     {cr4_pse},
     r3,
     0,
     {0x0080'0000 | table | ps | 1 << 21},
     13u},
    {"bits32 4M past MAXPHYADDR", none, {cr4_pse}, r0, 0, {table | ps | 1 << 17}, 9u, 0, 36},
    {"bits32 ignores NX in the error code", none, {efer_nx}, x3, 0, {0}, 4u},
    {"bits32 SMEP reports fetches", none, {cr4_smep}, x3, 0, {0}, 0x14u},
    // PAE.
    {"pae 4K", pae, {}, r3, 0xc020'1008, {0x2000 | p, 0x3000 | table, 0x5000 | table}, {}, 0x5008},
    {"pae absent PDPTE", pae, {}, r3, 0xc000'0000, {0}, 4u},
    {"pae PDPTE rights do not count",
     pae,
     {},
     w3,
     0,
     {0x2000 | p, 0x3000 | table, 0x5000 | table},
     {},
     0x5000},
    {"pae 2M", pae, {}, r3, 0x0012'3456, {0x2000 | p, 0x40'0000 | table | ps}, {}, 0x52'3456},
    {"pae 2M reserved", pae, {}, r3, 0, {0x2000 | p, 0x40'0000 | table | ps | 1 << 13}, 13u},
    {"pae bit 52 reserved", pae, {}, r3, 0, {0x2000 | p, 0x3000 | table | 1ull << 52}, 13u},
    {"pae NX reserved without NXE", pae, {}, r3, 0, {0x2000 | p, 0x3000 | table | nx}, 13u},
    {"pae NX", pae, {efer_nx}, x3, 0, {0x2000 | p, 0x3000 | table | nx, 0x5000 | table}, 0x15u},
    // Four levels.
    {"4-level 4K",
     l4,
     {},
     r3,
     0x0000'0080'8060'1abc,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table},
     {},
     0x7abc},
    {"4-level 2M",
     l4,
     {},
     r3,
     0x1'2345,
     {0x2000 | table, 0x3000 | table, 0x60'0000 | table | ps},
     {},
     0x61'2345},
    {"4-level 1G",
     l4,
     {},
     r3,
     0x1012'3456,
     {0x2000 | table, 0x4000'0000 | table | ps},
     {},
     0x5012'3456},
    {"4-level 1G reserved",
     l4,
     {},
     r3,
     0,
     {0x2000 | table, 0x4000'0000 | table | ps | 1 << 29},
     13u},
    {"4-level PS in PML4E", l4, {}, r0, 0, {0x2000 | table | ps}, 9u},
    {"4-level MAXPHYADDR", l4, {}, w3, 0, {0x2000 | table | 1ull << 40}, 15u},
    {"4-level wider MAXPHYADDR", l4, {}, w3, 0, {0x2000 | table | 1ull << 40, 0}, 6u, 0, 41},
    {"4-level bits 58:52 ignored",
     l4,
     {},
     r3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | 0x7full << 52},
     {},
     0x7000},
    {"4-level read-only above",
     l4,
     {cr0_wp},
     w3,
     0,
     {0x2000 | table, 0x3000 | p | u, 0x4000 | table, 0x7000 | table},
     7u},
    {"4-level supervisor above",
     l4,
     {cr0_wp},
     r3,
     0,
     {0x2000 | table, 0x3000 | p | w, 0x4000 | table, 0x7000 | table},
     5u},
    {"WP=0 lets the kernel write",
     l4,
     {},
     w0,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | p | u},
     {},
     0x7000},
    {"WP=0 does not let the user write",
     l4,
     {},
     w3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | p | u},
     7u},
    {"WP=1 stops the kernel",
     l4,
     {cr0_wp},
     w0,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | p | u},
     3u},
    {"SMEP",
     l4,
     {cr4_smep},
     x0,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table},
     0x11u},
    {"SMEP spares the user",
     l4,
     {cr4_smep},
     x3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table},
     {},
     0x7000},
    {"SMAP",
     l4,
     {cr4_smap},
     r0,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table},
     1u},
    {"SMAP lifted by AC",
     l4,
     {cr4_smap},
     r0ac,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table},
     {},
     0x7000},
    {"SMAP spares fetches",
     l4,
     {cr4_smap},
     x0,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table},
     {},
     0x7000},
    {"NX",
     l4,
     {efer_nx},
     x3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | nx},
     0x15u},
    {"NX reserved",
     l4,
     {},
     x3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | nx},
     13u},
    {"PKU AD",
     l4,
     {cr4_pke},
     r3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | key(3)},
     0x25u,
     0,
     40,
     0x40},
    {"PKU WD allows reads",
     l4,
     {cr4_pke},
     r3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | key(3)},
     {},
     0x7000,
     40,
     0x80},
    {"PKU WD",
     l4,
     {cr4_pke},
     w3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | key(3)},
     0x27u,
     0,
     40,
     0x80},
    {"PKU WD spares the kernel with WP=0",
     l4,
     {cr4_pke},
     w0,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | key(3)},
     {},
     0x7000,
     40,
     0x80},
    {"PKU WD stops the kernel with WP=1",
     l4,
     {cr4_pke, cr0_wp},
     w0,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | key(3)},
     0x23u,
     0,
     40,
     0x80},
    {"PKU spares fetches",
     l4,
     {cr4_pke},
     x3,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | table | key(3)},
     {},
     0x7000,
     40,
     0x40},
    {"PKU spares supervisor pages",
     l4,
     {cr4_pke},
     r0,
     0,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x7000 | p | w | key(3)},
     {},
     0x7000,
     40,
     0x40},
    // Five levels.
    {"5-level 4K",
     l5,
     {},
     r3,
     0x0001'0000'0000'0010,
     {0x2000 | table, 0x3000 | table, 0x4000 | table, 0x5000 | table, 0x7000 | table},
     {},
     0x7010},
    {"5-level PS in PML5E", l5, {}, r3, 0, {0x2000 | table | ps}, 13u},
};

class Walk : public testing::TestWithParam<Case> {};

/// Where the walk of a case reads its n-th entry, computed on its own.
Gpa place_of(const Case& c, std::size_t n, Gpa table_at) {
  const unsigned levels = c.mode == none ? 2 : c.mode == pae ? 3 : c.mode == l5 ? 5 : 4;
  const auto level = levels - static_cast<unsigned>(n);
  if (c.mode == none) return table_at + ((c.gva >> (level == 1 ? 12 : 22)) & 1023) * 4;
  return table_at + ((c.gva >> (12 + 9 * (level - 1))) & 511) * 8;
}

TEST_P(Walk, Gives) {
  const Case& c = GetParam();
  PagingRegisters registers{.mode = c.mode, .maxphyaddr = c.maxphyaddr};
  for (ControlBit bit : c.control) registers.control.set(bit, true);

  std::map<Gpa, std::uint64_t> memory;
  WalkRoot root{.table = 0x1000};
  Gpa at = 0x1000;
  for (std::size_t n = 0; n < c.entries.size(); ++n) {
    if (c.mode == pae && n == 0) {
      root.pdptes[c.gva >> 30] = c.entries[0];
    } else {
      memory[place_of(c, n, at)] = c.entries[n];
    }
    at = c.entries[n] & (c.mode == none ? entry::address32 : entry::address);
  }
  const auto read = [&](Gpa gpa, unsigned bytes, std::uint64_t& value) {
    EXPECT_EQ(bytes, c.mode == none ? 4u : 8u);
    const auto found = memory.find(gpa);
    if (found != memory.end()) value = found->second;
    return found != memory.end();
  };
  const GuestWalk walked =
      walk_guest(cached_walk_tables(registers), root, c.gva, c.access, c.pkru, read);
  EXPECT_EQ(walked.ok, !c.code.has_value());
  if (c.code) {
    EXPECT_EQ(walked.code, *c.code);
  } else {
    EXPECT_EQ(walked.gpa, c.gpa);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, Walk, testing::ValuesIn(cases));

TEST(WalkTables, CacheTellsRegistersApart) {
  PagingRegisters registers;
  registers.control.set(efer_nx, true);
  EXPECT_EQ(cached_walk_tables(registers).nx_mask, nx);
  registers.control.set(efer_nx, false);
  EXPECT_EQ(cached_walk_tables(registers).nx_mask, 0u);
  registers.maxphyaddr = 51;
  EXPECT_EQ(cached_walk_tables(registers).reserved[0][1], nx | 1ull << 51);
}

TEST(WalkTables, PdpteReserved) { EXPECT_EQ(pdpte_reserved(40), 0xffff'ff00'0000'01e6ull); }

}  // namespace
}  // namespace lockstep::impl
