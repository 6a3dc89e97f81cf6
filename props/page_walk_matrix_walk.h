// SPDX-License-Identifier: GPL-2.0-or-later
/// The two walks that the matrix compares.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "impl/guest_walk.h"
#include "props/page_walk_matrix_answer.h"
#include "props/page_walk_matrix_case.h"
#include "spec/x86/walk.h"

namespace lockstep::props {

/// The page tables of one case, as memory that answers where an entry stands
/// and holds zero everywhere else. The upper address bits do not take part: an
/// entry with a legal high address bit leads to the same tables.
struct MatrixTables {
  const MatrixLayout* layout = nullptr;
  unsigned entry_bytes = 8;
  std::array<std::uint64_t, 6> entry{};  ///< by level

  std::uint64_t read(Gpa at) const {
    const auto level = static_cast<unsigned>(at >> page_shift) & 7;
    if (level == 0 || level > 5) return 0;
    return (at & ~page_mask) == layout->index[level] * entry_bytes ? entry[level] : 0;
  }
};

/// Registers as each side wants them, computed once for many cases.
struct MatrixRegisters {
  explicit MatrixRegisters(const MatrixCase& c);
  spec::PagingState spec;
  impl::WalkTables impl;
  std::uint64_t impl_pdpte_reserved = 0;
};

MatrixTables matrix_tables(const MatrixCase& c);

/// The walk as the manual states it: a fold of spec::read_entry() from the root.
WalkAnswer spec_walk(const spec::PagingState& state, const MatrixTables& tables,
                     const spec::AccessRights& access);

/// The implementation's own walk.
WalkAnswer impl_walk(const MatrixRegisters& registers, const MatrixTables& tables,
                     const impl::GuestAccess& access, std::uint32_t pkru);

/// Both answers to one case, from nothing but the case.
BothAnswers answer(const MatrixCase& c);

/// Entry by entry from the root: where it stands, its value, what the spec says
/// of it; then the answers. Lines without a trailing newline.
std::string dump(const MatrixCase& c, const BothAnswers& answers);

}  // namespace lockstep::props
