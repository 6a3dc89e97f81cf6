// SPDX-License-Identifier: GPL-2.0-or-later
/// One case of the page-walk matrix: flags with printable names, and the page
/// tables and registers that they stand for.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/configuration.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::props {

/// A set of flags of a case; bit `n` is static_cast<MatrixFlag>(n). The order is
/// the order in which an enumeration toggles them, the lowest first. Present
/// flags toggle late: a fault drops the TLB entry and hides a missing flush.
using MatrixFlags = std::uint64_t;

enum class MatrixFlag : std::uint8_t {
  user,
  write,
  fetch,
  ac,
  pkru_ad,
  pkru_wd,
  pkey,
  pte_rw,
  pte_user,
  pte_nx,
  pte_d,
  pte_a,
  pte_g,
  pte_36,
  pte_51,
  pte_52,
  pde_rw,
  pde_user,
  pde_nx,
  pde_d,
  pde_a,
  pde_g,
  pde_ps,
  pde_13,
  pde_21,
  pde_36,
  pde_51,
  pde_52,
  pdpte_rw,
  pdpte_user,
  pdpte_nx,
  pdpte_a,
  pdpte_ps,
  pdpte_13,
  pdpte_36,
  pdpte_51,
  pml4e_rw,
  pml4e_user,
  pml4e_nx,
  pml4e_a,
  pml4e_ps,
  pml4e_51,
  pml5e_rw,
  pml5e_user,
  pml5e_nx,
  pml5e_a,
  pml5e_ps,
  pml5e_51,
  pte_p,
  pde_p,
  pdpte_p,
  pml4e_p,
  pml5e_p,
  cr0_wp,
  cr4_smep,
  cr4_smap,
  cr4_pke,
  cr4_pse,
  efer_nx,
  page1gb,
  pse36,
  count
};

constexpr MatrixFlags operator+(MatrixFlag flag) {
  return MatrixFlags{1} << static_cast<unsigned>(flag);
}
constexpr MatrixFlags operator|(MatrixFlag a, MatrixFlag b) { return +a | +b; }
constexpr MatrixFlags operator|(MatrixFlags a, MatrixFlag b) { return a | +b; }
constexpr bool has(MatrixFlags flags, MatrixFlag flag) { return (flags & +flag) != 0; }

/// "pte.p", "cpu.cr0.wp", "write".
std::string_view name(MatrixFlag flag);
/// Names, separated by spaces, in the order of MatrixFlag.
std::string print(MatrixFlags flags);

struct MatrixCase {
  PagingMode mode = PagingMode::level4;
  unsigned maxphyaddr = 40;  ///< bits
  MatrixFlags flags = 0;
  /// Protection key of the leaf if `pkey` is set, 0 otherwise.
  unsigned key = 5;
  /// Key whose PKRU bits `pkru_ad` and `pkru_wd` are.
  unsigned pkru_key = 5;
  /// One further bit, set in the entry of this level; level 0: none.
  unsigned stray_level = 0;
  unsigned stray_bit = 0;
  bool operator==(const MatrixCase&) const = default;
};

/// The case as one line of words: "4-level maxphyaddr=40 pte.p pde.p user fetch".
std::string print(const MatrixCase& c);

ControlBits matrix_control(MatrixFlags flags);
std::uint32_t matrix_pkru(const MatrixCase& c);
AccessKind matrix_kind(MatrixFlags flags);

/// Where tables and pages of a case lie. Arrays are indexed by level.
struct MatrixLayout {
  std::array<Gpa, 6> table{};       ///< page of the table that holds the entries of the level
  std::array<unsigned, 6> index{};  ///< of the entry that translates `gva`
  std::array<Gpa, 6> page{};        ///< base of the page that an entry of the level maps
  Gva gva = 0;                      ///< made of the indices, with an offset into the page
};

/// The linear address that those indices translate.
Gva matrix_gva(PagingMode mode, const std::array<unsigned, 6>& index, unsigned offset);

/// The layout of the stateless matrix: every address field is nonzero, no two
/// indices are alike, and the level of a table can be read off its gpa.
const MatrixLayout& matrix_layout(PagingMode mode);

/// The entry of a level without the stray bit and the leaf's key.
std::uint64_t matrix_entry(const MatrixCase& c, unsigned level, const MatrixLayout& layout);
/// The entry as it stands in memory.
std::uint64_t matrix_entry_in_memory(const MatrixCase& c, unsigned level,
                                     const MatrixLayout& layout);
/// Level of the entry that the case means to map the page.
unsigned matrix_leaf(const MatrixCase& c);
/// Level of the first entry of the mode; 3 (the PDPTE) for PAE.
unsigned matrix_root(PagingMode mode);

}  // namespace lockstep::props
