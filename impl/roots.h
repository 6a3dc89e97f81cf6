// SPDX-License-Identifier: GPL-2.0-or-later
/// The roots of one vCPU: the current one, three earlier ones, and for guests
/// with two-level or PAE paging the tables above four roots.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "impl/shadow_mmu.h"

namespace lockstep::impl {

/// KVM: mmu->root, prev_roots, pae_root and pml4_root. Only whole-table roots
/// are remembered, as in fast_pgd_switch().
class Roots {
 public:
  explicit Roots(ShadowMmu& mmu) : mmu_(&mmu) {}

  /// Make (gfn, role) the current root, from the earlier ones if it is there.
  Expected<void> load(MemoryCache& cache, Gfn gfn, const Role& role);
  /// Make a root of four quarters current, each empty until set_quarter().
  Expected<void> load_quartered(MemoryCache& cache);
  /// Fill one quarter; no_memory leaves it empty.
  Expected<void> set_quarter(MemoryCache& cache, unsigned quarter, Gfn gfn, const Role& role);
  /// No current root; earlier ones stay.
  void unload();
  /// Drop every hold.
  void clear();
  /// Drop holds on zapped pages. KVM: kvm_mmu_free_obsolete_roots().
  void free_obsolete();

  /// Frame that hardware's CR3 gets; none while there is no root.
  std::optional<Hfn> frame() const;
  /// Page where the walk of `gva` starts; null if there is none.
  ShadowPage* start(Gva gva) const;

  /// The current root and then the earlier ones; empty holds included.
  const std::array<RootRef, 4>& whole() const { return whole_; }

 private:
  ShadowMmu* mmu_;
  std::array<RootRef, 4> whole_;  ///< [0] is current
  std::array<RootRef, 4> quarters_;
  ShadowPagePtr top_;    ///< one entry, for hardware that walks four levels
  ShadowPagePtr upper_;  ///< four entries
  bool quartered_ = false;
};

}  // namespace lockstep::impl
