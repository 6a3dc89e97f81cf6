// SPDX-License-Identifier: GPL-2.0-or-later
/// The dimensions of the page-walk matrix, and which combinations are legal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "props/page_walk_matrix_case.h"

namespace lockstep::props {

/// One part of the matrix: the product of its groups, without what legal()
/// rules out. Each group is a list of legal sets of flags.
struct MatrixBlock {
  struct Stray {
    unsigned level = 0;
    unsigned bit = 0;
  };
  struct Keys {
    unsigned leaf = 5;
    unsigned pkru = 5;
  };

  std::string_view name;
  std::string_view about;
  PagingMode mode = PagingMode::level4;
  std::vector<unsigned> maxphyaddr = {40};
  std::vector<MatrixFlags> cpu = {0};
  std::vector<Keys> keys = {{}};
  std::vector<Stray> stray = {{}};
  std::vector<MatrixFlags> present = {0};
  std::vector<MatrixFlags> upper = {0};  ///< of PML5E, PML4E and PDPTE
  std::vector<MatrixFlags> pde = {0};
  std::vector<MatrixFlags> pte = {0};
  std::vector<MatrixFlags> pku = {0};
  std::vector<MatrixFlags> access = {0};

  /// Whether what stands in the tables is a case of its own: below an entry
  /// that maps a page, entries are not read and stay zero.
  bool legal_tables(MatrixFlags tables) const;

  /// What legal_tables() would compute again and again; set once by
  /// matrix_blocks().
  MatrixFlags pde_flags = 0;
  MatrixFlags pte_flags = 0;
  bool clears_pde_present = false;
};

/// Every block, computed once.
const std::vector<MatrixBlock>& matrix_blocks();

/// Flags that take more than one value in the block, and those that are always set.
MatrixFlags varied(const MatrixBlock& block);

/// "32-bit: 14 flags: user write ...", and the lists that are no flags.
std::string describe(const MatrixBlock& block);

/// The rules of what is skipped, a line each.
const std::vector<std::string_view>& matrix_rules();

}  // namespace lockstep::props
