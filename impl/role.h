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
};

}  // namespace lockstep::impl
