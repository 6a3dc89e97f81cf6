// SPDX-License-Identifier: GPL-2.0-or-later
/// The roots of one vCPU: the current one, three earlier ones, and for guests
/// with two-level or PAE paging the tables above four roots.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "impl/mutants.h"
#include "impl/shadow_mmu.h"

namespace lockstep::impl {

/// KVM: mmu->root, prev_roots, pae_root and pml4_root. Only whole-table roots
/// are remembered, as in fast_pgd_switch().
class Roots {
 public:
  /// A root, and the CR3 value (PCID included) that it is for.
  struct Whole {
    RootRef root;
    std::uint64_t cr3 = 0;
  };

  /// Make the root of this CR3 and role current if an earlier one still serves;
  /// else there is no current root. KVM: fast_pgd_switch().
  bool switch_to(std::uint64_t cr3, const Role& role);
  /// Make it the current root.
  void set(RootRef root, std::uint64_t cr3);
  /// Make a root of four quarters current, each empty until set_quarter().
  Expected<void> load_quartered(MemoryCache& cache);
  /// Fill one quarter.
  void set_quarter(unsigned quarter, RootRef root);
  /// No current root; earlier ones stay.
  void unload();
  /// Drop every hold.
  void clear();
  /// Drop holds on obsolete pages. KVM: kvm_mmu_free_obsolete_roots().
  void free_obsolete();
  /// Drop earlier roots of one PCID. KVM: kvm_invalidate_pcid().
  void free_pcid(unsigned pcid);

  /// Frame that hardware's CR3 gets; none while there is no root.
  std::optional<Hfn> frame() const;
  /// Page where the walk of `gva` starts; null if there is none.
  ShadowPage* start(Gva gva) const;
  /// Call visit(page) for each root that may be used again, the current first;
  /// earlier ones only if asked.
  template <typename Visit>
  void each(bool earlier, Visit&& visit) const {
    for (const RootRef& quarter : quarters_) {
      if (quarter.usable()) visit(quarter.page());
    }
    for (std::size_t i = 0; i < (earlier ? whole_.size() : 1); ++i) {
      if (whole_[i].root.usable()) visit(whole_[i].root.page());
    }
  }

  /// The current root and then the earlier ones; empty holds included.
  const std::array<Whole, 4>& whole() const { return whole_; }
  /// Roots of the quarters; empty holds included.
  const std::array<RootRef, 4>& quarters() const { return quarters_; }
  bool quartered() const { return quartered_; }

 private:
  std::array<Whole, 4> whole_;  ///< [0] is current
  std::array<RootRef, 4> quarters_;
  ShadowPagePtr top_;    ///< one entry, for hardware that walks four levels
  ShadowPagePtr upper_;  ///< four entries
  bool quartered_ = false;
};

}  // namespace lockstep::impl
