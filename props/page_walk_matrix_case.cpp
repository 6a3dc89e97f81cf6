// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/page_walk_matrix_case.h"

#include <fmt/format.h>

#include <bit>

namespace lockstep::props {
namespace {

constexpr unsigned flag_count = static_cast<unsigned>(MatrixFlag::count);
static_assert(flag_count <= 64);

/// A flag is a bit of an entry, a control bit, or neither.
struct FlagInfo {
  std::string_view name;
  unsigned level = 0;      ///< of the entry; 0 if none
  unsigned entry_bit = 0;  ///< position
};

constexpr std::array<FlagInfo, flag_count> infos = {{
    {"user"},
    {"write"},
    {"fetch"},
    {"ac"},
    {"pkru.ad"},
    {"pkru.wd"},
    {"pkey"},
    {"pte.rw", 1, 1},
    {"pte.user", 1, 2},
    {"pte.nx", 1, 63},
    {"pte.d", 1, 6},
    {"pte.a", 1, 5},
    {"pte.g", 1, 8},
    {"pte.36", 1, 36},
    {"pte.51", 1, 51},
    {"pte.52", 1, 52},
    {"pde.rw", 2, 1},
    {"pde.user", 2, 2},
    {"pde.nx", 2, 63},
    {"pde.d", 2, 6},
    {"pde.a", 2, 5},
    {"pde.g", 2, 8},
    {"pde.ps", 2, 7},
    {"pde.13", 2, 13},
    {"pde.21", 2, 21},
    {"pde.36", 2, 36},
    {"pde.51", 2, 51},
    {"pde.52", 2, 52},
    {"pdpte.rw", 3, 1},
    {"pdpte.user", 3, 2},
    {"pdpte.nx", 3, 63},
    {"pdpte.a", 3, 5},
    {"pdpte.ps", 3, 7},
    {"pdpte.13", 3, 13},
    {"pdpte.36", 3, 36},
    {"pdpte.51", 3, 51},
    {"pml4e.rw", 4, 1},
    {"pml4e.user", 4, 2},
    {"pml4e.nx", 4, 63},
    {"pml4e.a", 4, 5},
    {"pml4e.ps", 4, 7},
    {"pml4e.51", 4, 51},
    {"pml5e.rw", 5, 1},
    {"pml5e.user", 5, 2},
    {"pml5e.nx", 5, 63},
    {"pml5e.a", 5, 5},
    {"pml5e.ps", 5, 7},
    {"pml5e.51", 5, 51},
    {"pte.p", 1, 0},
    {"pde.p", 2, 0},
    {"pdpte.p", 3, 0},
    {"pml4e.p", 4, 0},
    {"pml5e.p", 5, 0},
    {"cpu.cr0.wp"},
    {"cpu.cr4.smep"},
    {"cpu.cr4.smap"},
    {"cpu.cr4.pke"},
    {"cpu.cr4.pse"},
    {"cpu.efer.nx"},
    {"cpuid.page1gb"},
    {"cpuid.pse36"},
}};

constexpr std::array<std::string_view, 6> entry_names = {"",      "pte",   "pde",
                                                         "pdpte", "pml4e", "pml5e"};
constexpr std::array<std::string_view, 5> mode_names = {"none", "32-bit", "pae", "4-level",
                                                        "5-level"};

unsigned index_bits(PagingMode mode) { return mode == PagingMode::bits32 ? 10 : 9; }

MatrixLayout make_layout(PagingMode mode) {
  MatrixLayout layout;
  // Bits 14:12 of a table's gpa are its level. All addresses are below 2^32, so
  // that every mode can name them, and below bit 36.
  for (unsigned level = 1; level <= 5; ++level) {
    layout.table[level] = 0x2a58'0000 + level * 0x1000;
  }
  layout.index = {0, 0x155, 0x0b3, mode == PagingMode::pae ? 2u : 0x071u, 0x0d9, 0x02e};
  layout.gva = matrix_gva(mode, layout.index, 0x568);
  layout.page[1] = 0x4567'8000;
  layout.page[2] = mode == PagingMode::bits32 ? 0x89c0'0000 : 0x67a0'0000;
  layout.page[3] = 0xc000'0000;
  return layout;
}

}  // namespace

std::string_view name(MatrixFlag flag) { return infos[static_cast<unsigned>(flag)].name; }

std::string print(MatrixFlags flags) {
  std::string text;
  for (; flags != 0; flags &= flags - 1) {
    if (!text.empty()) text += ' ';
    text += infos[static_cast<unsigned>(std::countr_zero(flags))].name;
  }
  return text;
}

std::string print(const MatrixCase& c) {
  // As said aloud: the page tables from the leaf up, the processor, the access.
  constexpr MatrixFlags access =
      MatrixFlag::user | MatrixFlag::write | MatrixFlag::fetch | MatrixFlag::ac;
  constexpr MatrixFlags pku = MatrixFlag::pkru_ad | MatrixFlag::pkru_wd | MatrixFlag::pkey;
  std::string text =
      fmt::format("{} maxphyaddr={}", mode_names[static_cast<unsigned>(c.mode)], c.maxphyaddr);
  const auto say = [&text](std::string_view words) {
    if (!words.empty()) text += fmt::format(" {}", words);
  };
  say(print(c.flags & ~(access | pku)));
  if (c.stray_level != 0) say(fmt::format("{}.bit{}", entry_names[c.stray_level], c.stray_bit));
  if (has(c.flags, MatrixFlag::pkey)) say(fmt::format("pkey={}", c.key));
  if (has(c.flags, MatrixFlag::pkru_ad)) say(fmt::format("pkru.ad{}", c.pkru_key));
  if (has(c.flags, MatrixFlag::pkru_wd)) say(fmt::format("pkru.wd{}", c.pkru_key));
  say(print(c.flags & access));
  return text;
}

ControlBits matrix_control(MatrixFlags flags) {
  ControlBits control;
  control.set(ControlBit::cr0_wp, has(flags, MatrixFlag::cr0_wp));
  control.set(ControlBit::cr4_smep, has(flags, MatrixFlag::cr4_smep));
  control.set(ControlBit::cr4_smap, has(flags, MatrixFlag::cr4_smap));
  control.set(ControlBit::cr4_pke, has(flags, MatrixFlag::cr4_pke));
  control.set(ControlBit::cr4_pse, has(flags, MatrixFlag::cr4_pse));
  control.set(ControlBit::efer_nx, has(flags, MatrixFlag::efer_nx));
  return control;
}

std::uint32_t matrix_pkru(const MatrixCase& c) {
  const unsigned rights =
      (has(c.flags, MatrixFlag::pkru_ad) ? 1u : 0u) | (has(c.flags, MatrixFlag::pkru_wd) ? 2u : 0u);
  return rights << (2 * c.pkru_key);
}

AccessKind matrix_kind(MatrixFlags flags) {
  if (has(flags, MatrixFlag::write)) return AccessKind::write;
  return has(flags, MatrixFlag::fetch) ? AccessKind::fetch : AccessKind::read;
}

Gva matrix_gva(PagingMode mode, const std::array<unsigned, 6>& index, unsigned offset) {
  const unsigned root = matrix_root(mode);
  Gva gva = 0;
  for (unsigned level = root; level >= 1; --level) {
    gva = (gva << index_bits(mode)) | index[level];
  }
  return (gva << page_shift) | offset;
}

const MatrixLayout& matrix_layout(PagingMode mode) {
  static const std::array<MatrixLayout, 5> layouts = {
      make_layout(PagingMode::none), make_layout(PagingMode::bits32), make_layout(PagingMode::pae),
      make_layout(PagingMode::level4), make_layout(PagingMode::level5)};
  return layouts[static_cast<unsigned>(mode)];
}

unsigned matrix_root(PagingMode mode) {
  switch (mode) {
    case PagingMode::bits32:
      return 2;
    case PagingMode::pae:
      return 3;
    case PagingMode::level5:
      return 5;
    default:
      return 4;
  }
}

unsigned matrix_leaf(const MatrixCase& c) {
  const bool upper_maps = c.mode != PagingMode::bits32 && c.mode != PagingMode::pae;
  if (upper_maps && has(c.flags, MatrixFlag::pdpte_ps)) return 3;
  const bool middle_maps = c.mode != PagingMode::bits32 || has(c.flags, MatrixFlag::cr4_pse);
  return middle_maps && has(c.flags, MatrixFlag::pde_ps) ? 2 : 1;
}

std::uint64_t matrix_entry(const MatrixCase& c, unsigned level, const MatrixLayout& layout) {
  std::uint64_t value = 0;
  for (MatrixFlags left = c.flags; left != 0; left &= left - 1) {
    const FlagInfo& info = infos[static_cast<unsigned>(std::countr_zero(left))];
    if (info.level == level) value |= 1ull << info.entry_bit;
  }
  return value | (matrix_leaf(c) == level ? layout.page[level] : layout.table[level - 1]);
}

std::uint64_t matrix_entry_in_memory(const MatrixCase& c, unsigned level,
                                     const MatrixLayout& layout) {
  std::uint64_t value = matrix_entry(c, level, layout);
  if (c.stray_level == level) value |= 1ull << c.stray_bit;
  if (has(c.flags, MatrixFlag::pkey) && matrix_leaf(c) == level) {
    value |= std::uint64_t{c.key} << entry::protection_key_shift;
  }
  return value;
}

}  // namespace lockstep::props
