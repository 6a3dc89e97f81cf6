// SPDX-License-Identifier: GPL-2.0-or-later
/// What, besides the gfn, tells one shadow page from another.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs.
#pragma once

#include <cstdint>

#include "impl/range_math.h"
#include "impl/shadow_geometry.h"
#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Rights of a mapping, as KVM's ACC_ bits.
using Rights = std::uint8_t;
namespace rights {
inline constexpr Rights executable = 1;
inline constexpr Rights writable = 2;
inline constexpr Rights user = 4;
inline constexpr Rights all = 7;
}  // namespace rights

/// KVM: union kvm_mmu_page_role. Two shadow pages of one gfn may be shared only
/// if every field is equal: `access` is what the entries above grant, so that
/// tables reached with different rights do not share (CVE-2021-38198).
/// `Small` keeps a few bits: a byte where it runs.
template <typename W, typename Small = W>
struct RoleFields {
  Small level = 1;     ///< of the entries it holds; 1 is the 4-KiB level; 4 bits
  Small quadrant = 0;  ///< which part of a table of 4-byte entries; 2 bits
  Small access = rights::all;
  BoolOf<W> direct = false;  ///< maps gfns in order; no guest table stands behind it
  BoolOf<W> has_4_byte_gpte = false;
  BoolOf<W> cr0_wp = false;
  BoolOf<W> smep_andnot_wp = false;
  BoolOf<W> smap_andnot_wp = false;
  BoolOf<W> efer_nx = false;
  BoolOf<W> cr4_pse = false;

  /// Every field in one word.
  constexpr W word() const {
    const auto flag = [](BoolOf<W> set, unsigned bit) { return ite(set, W(1ull << bit), 0); };
    return W(level) | (W(quadrant) << 4) | (W(access) << 6) | flag(direct, 9) |
           flag(has_4_byte_gpte, 10) | flag(cr0_wp, 11) | flag(smep_andnot_wp, 12) |
           flag(smap_andnot_wp, 13) | flag(efer_nx, 14) | flag(cr4_pse, 15);
  }
  /// The words are compared, as KVM compares them.
  friend constexpr BoolOf<W> operator==(const RoleFields& a, const RoleFields& b) {
    return a.word() == b.word();
  }
};
using Role = RoleFields<std::uint64_t, std::uint8_t>;

/// The registers that a role stands for, in a mode that has them.
template <typename B>
struct RoleRegisters {
  B shadowed = true;  ///< paging is on and no hardware walks the guest's tables
  B four_byte_entries = false;
  B wp = true;
  B smep = false;
  B smap = false;
  B nx = true;  ///< EFER.NX, where entries have the bit
  B pse = false;
};

/// Role that the pages of a vCPU begin with. CR4.PSE, which KVM keeps in its
/// extended role, is part of it for the same reason as the rest: pages made under
/// other rules must not be found. KVM: kvm_calc_cpu_role().
template <typename W, typename Small = W>
constexpr RoleFields<W, Small> base_role(const RoleRegisters<BoolOf<W>>& registers) {
  const BoolOf<W> on = registers.shadowed;
  return {.direct = !on,
          .has_4_byte_gpte = on && registers.four_byte_entries,
          .cr0_wp = on && registers.wp,
          .smep_andnot_wp = on && registers.smep && !registers.wp,
          .smap_andnot_wp = on && registers.smap && !registers.wp,
          .efer_nx = on && registers.nx,
          .cr4_pse = on && registers.pse};
}

/// What is to be changed of a role for a page below.
template <typename W, typename Small = W>
struct ChildOf {
  Small level = 1;
  BoolOf<W> direct = false;
  Small access = rights::all;
  Small quadrant = 0;  ///< of the address; counts with 4-byte entries alone
};

/// Role of a page below one of role `above`. Direct pages below a 4-MiB page have
/// a quadrant, too. KVM: kvm_mmu_child_role().
template <typename W, typename Small>
constexpr RoleFields<W, Small> child_role(RoleFields<W, Small> above,
                                          const ChildOf<W, Small>& child) {
  above.level = child.level;
  above.direct = child.direct;
  above.access = child.access;
  above.quadrant = ite(above.has_4_byte_gpte, child.quadrant, Small(0));
  return above;
}

/// Whether a root that a vCPU keeps serves it now. KVM: is_root_usable(), with
/// is_obsolete_sp().
template <typename W, typename Small>
constexpr BoolOf<W> root_serves(BoolOf<W> obsolete, W have_cr3, W want_cr3,
                                const RoleFields<W, Small>& have,
                                const RoleFields<W, Small>& want) {
  return !obsolete && have_cr3 == want_cr3 && have == want;
}

/// Index of the SPTE for an address in a table of the level.
constexpr unsigned spte_index(std::uint64_t address, unsigned level) {
  return static_cast<unsigned>(index_of_address<std::uint64_t>(address, level));
}

/// 4-KiB pages that one entry of the level maps.
constexpr std::uint64_t pages_of(unsigned level) { return pages_at<std::uint64_t>(level); }

constexpr std::uint64_t level_base(std::uint64_t gfn, unsigned level) {
  return round_to_level<std::uint64_t>(gfn, level);
}

}  // namespace lockstep::impl
