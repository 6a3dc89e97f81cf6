// SPDX-License-Identifier: GPL-2.0-or-later
/// What, besides the gfn, tells one shadow page from another.
#pragma once

#include <cstdint>

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
struct Role {
  std::uint8_t level = 1;     ///< of the entries it holds; 1 is the 4-KiB level
  std::uint8_t quadrant = 0;  ///< which part of a table of 4-byte entries
  Rights access = rights::all;
  bool direct = false;  ///< maps gfns in order; no guest table stands behind it
  bool has_4_byte_gpte = false;
  bool cr0_wp = false;
  bool smep_andnot_wp = false;
  bool smap_andnot_wp = false;
  bool efer_nx = false;
  bool cr4_pse = false;

  bool operator==(const Role&) const = default;
  /// Every field in one word.
  constexpr std::uint32_t word() const {
    return level | quadrant << 4u | access << 6u | (direct ? 1u << 9 : 0u) |
           (has_4_byte_gpte ? 1u << 10 : 0u) | (cr0_wp ? 1u << 11 : 0u) |
           (smep_andnot_wp ? 1u << 12 : 0u) | (smap_andnot_wp ? 1u << 13 : 0u) |
           (efer_nx ? 1u << 14 : 0u) | (cr4_pse ? 1u << 15 : 0u);
  }
};

/// Index of the SPTE for an address in a table of the level.
constexpr unsigned spte_index(std::uint64_t address, unsigned level) {
  return static_cast<unsigned>(address >> (12 + 9 * (level - 1))) & 511u;
}

/// 4-KiB pages that one entry of the level maps.
constexpr std::uint64_t pages_of(unsigned level) { return 1ull << (9 * (level - 1)); }

constexpr std::uint64_t level_base(std::uint64_t gfn, unsigned level) {
  return gfn & ~(pages_of(level) - 1);
}

}  // namespace lockstep::impl
