// SPDX-License-Identifier: GPL-2.0-or-later
/// Tables of the second dimension, one tree a root, that several vCPUs fill at
/// once. KVM: arch/x86/kvm/mmu/tdp_mmu.c.
///
/// Whoever holds the MMU lock shared changes an SPTE only by comparing and
/// exchanging it; what a change takes away is first frozen (spte::removed), then
/// flushed, then unlinked. Tables go when nobody can walk them any more.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "impl/fault_steps.h"
#include "impl/shadow_mmu.h"
#include "impl/walkers.h"

namespace lockstep::impl {

class TdpMmu;

/// A vCPU's hold on a root. Must not outlive the MMU.
class TdpRootRef {
 public:
  TdpRootRef() = default;
  TdpRootRef(TdpRootRef&& other) noexcept
      : page_(std::exchange(other.page_, nullptr)), token_(std::move(other.token_)) {}
  TdpRootRef& operator=(TdpRootRef&& other) noexcept {
    std::swap(page_, other.page_);
    std::swap(token_, other.token_);
    return *this;
  }
  explicit operator bool() const { return page_ != nullptr; }
  ShadowPage& page() const { return *page_; }
  bool usable() const { return page_ != nullptr && !page_->invalid; }

 private:
  friend class TdpMmu;
  explicit TdpRootRef(ShadowPage& page) : page_(&page), token_(page.roots) {}
  ShadowPage* page_ = nullptr;
  Token token_;
};

class TdpMmu {
 public:
  /// `shadow` gives what both MMUs share: slots, arena, statistics, flushes. Both
  /// it and `walkers` outlive this.
  TdpMmu(ShadowMmu& shadow, Walkers& walkers)
      : shadow_(&shadow), walkers_(&walkers), roots_(shadow.arena()), dead_(shadow.arena()) {}
  ~TdpMmu();
  TdpMmu(const TdpMmu&) = delete;
  TdpMmu& operator=(const TdpMmu&) = delete;

  // With the lock held by nobody else.

  /// The valid root of the role, made if there is none.
  /// KVM: kvm_tdp_mmu_get_vcpu_root_hpa().
  Expected<TdpRootRef> root(MemoryCache& cache, const Role& role);
  /// No vCPU may use the present roots any more. KVM:
  /// kvm_tdp_mmu_invalidate_all_roots().
  void invalidate_roots();
  /// Take down trees of roots that are invalid; `relax()` is called between
  /// pieces. Roots that a vCPU still holds stay, empty.
  /// KVM: kvm_tdp_mmu_zap_invalidated_roots().
  template <typename Relax>
  void zap_invalidated(Relax&& relax) {
    for (ShadowPage* root = roots_.newest(); root != nullptr; root = root->list_next) {
      if (!root->invalid || mutant(Mutant::tdp_root_kept)) continue;
      // Whoever is let in must not take it away.
      const Token held(root->roots);
      root->for_each_used([&](unsigned entry) {
        set(*root, entry, 0);
        relax();
      });
    }
    reap();
  }
  /// Drop every leaf of gfns [first, end) under every root, invalid ones too; how
  /// many. KVM: kvm_tdp_mmu_unmap_gfn_range().
  unsigned unmap_range(Gfn first, Gfn end);
  /// Clear accessed bits; whether one was set.
  bool age_range(Gfn first, Gfn end);
  /// Take write access from leaves of at least this level. True if one had it.
  bool write_protect(Gfn first, Gfn end, unsigned least, bool for_good);
  /// Take the dirty bits of 4-KiB leaves of gfns [first, end) and call visit(gfn)
  /// for each that was set; whether one was.
  template <typename Visit>
  bool take_dirty_bits(Gfn first, Gfn end, Visit&& visit);
  bool take_dirty_bits(Gfn gfn) {
    return take_dirty_bits(gfn, gfn + 1, [](Gfn) {});
  }
  /// Replace huge leaves of the range by small ones, as far as `cache` lasts:
  /// no_memory asks for more, and for the same again.
  /// KVM: kvm_tdp_mmu_try_split_huge_pages().
  Expected<void> split_range(MemoryCache& cache, Gfn first, Gfn end);
  /// Drop tables of small leaves where `host_level(gfn)` allows a larger one.
  template <typename HostLevel>
  void collapse(MemorySlot& slot, HostLevel&& host_level);
  /// Zap a table of small leaves. KVM: kvm_tdp_mmu_zap_sp().
  void zap(ShadowPage& page);
  /// Give back the memory of tables that were unlinked.
  void reap();

  // With the lock held, shared or not.

  enum class Mapped : std::uint8_t { done, write_denied, retry };
  struct Goal {
    unsigned level = 1;
    bool no_huge = false;   ///< the mitigation forbids a huge page: record it
    unsigned could_be = 1;  ///< level that it forbids
  };
  /// Map a page at the goal's level; another thread may come first: retry.
  /// KVM: kvm_tdp_mmu_map().
  Expected<Mapped> map(FaultCaches& caches, DirtyMarker& dirty, ShadowPage& root,
                       const Mapping& mapping, const Goal& goal);
  /// Remember that the gfn has no memslot.
  Expected<Mapped> map_mmio(FaultCaches& caches, ShadowPage& root, Gfn gfn);

  std::uint64_t pages() const { return pages_.value(); }
  /// Every root, valid or not.
  const PageList& roots() const { return roots_; }
  bool empty() const { return pages_.value() == 0; }
  /// The table that a present non-leaf SPTE refers to.
  ShadowPage& child(const ShadowPage& parent, unsigned entry) const {
    return *shadow_->arena().find(spte_frame(parent.spte(entry)));
  }

 private:
  template <typename Visit>
  void each_leaf(ShadowPage& table, Gfn first, Gfn end, Visit&& visit);
  template <typename Visit>
  void each_leaf(Gfn first, Gfn end, Visit&& visit) {
    for (ShadowPage* root = roots_.newest(); root != nullptr; root = root->list_next) {
      each_leaf(*root, first, end, visit);
    }
  }
  Expected<ShadowPage*> descend(FaultCaches& caches, ShadowPage& from, unsigned entry, Gfn gfn,
                                const Goal* goal, bool& retry);
  void changed(ShadowPage& page, unsigned entry, std::uint64_t old, std::uint64_t now, bool shared);
  void set(ShadowPage& page, unsigned entry, std::uint64_t now);
  bool exchange(ShadowPage& page, unsigned entry, std::uint64_t old, std::uint64_t now);
  void take_down(ShadowPage& table, bool shared);
  ShadowPagePtr make_table(ShadowPagePtr fresh, ShadowPage& parent, unsigned entry, Gfn gfn);

  ShadowMmu* shadow_;
  Walkers* walkers_;
  TokenCount pages_;
  PageList roots_;
  std::mutex dead_mutex_;
  PageList dead_;  ///< unlinked, maybe still walked
};

template <typename Visit>
void TdpMmu::each_leaf(ShadowPage& table, Gfn first, Gfn end, Visit&& visit) {
  const unsigned level = table.role.level;
  const std::uint64_t size = pages_of(level);
  const Gfn base = table.gfn;
  if (end <= base || first >= base + 512 * size) return;
  const auto from = static_cast<unsigned>(first <= base ? 0 : (first - base) / size);
  auto to = static_cast<unsigned>(end - base >= 512 * size ? 512 : (end - base + size - 1) / size);
  if (level == 1 && to > from && mutant(Mutant::tdp_skips_last_entry)) --to;
  for (unsigned entry = from; entry < to; ++entry) {
    const std::uint64_t spte = table.spte(entry);
    if (!spte_present(spte)) continue;
    if (spte_leaf(spte, level)) {
      visit(table, entry, spte);
    } else {
      each_leaf(child(table, entry), first, end, visit);
    }
  }
}

template <typename Visit>
bool TdpMmu::take_dirty_bits(Gfn first, Gfn end, Visit&& visit) {
  bool dirty = false;
  each_leaf(first, end, [&](ShadowPage& page, unsigned entry, std::uint64_t spte) {
    const std::uint64_t now = without_dirty(spte);
    if (page.role.level != 1 || now == spte) return;
    dirty = true;
    page.set(entry, now);
    visit(page.gfn_at(entry));
  });
  return dirty;
}

template <typename HostLevel>
void TdpMmu::collapse(MemorySlot& slot, HostLevel&& host_level) {
  bool flush = false;
  each_leaf(slot.base, slot.base + slot.pages,
            [&](ShadowPage& page, unsigned entry, std::uint64_t) {
              if (host_level(page.gfn_at(entry)) <= page.role.level) return;
              set(page, entry, 0);
              ++shadow_->events().collapsed;
              flush = true;
            });
  if (flush) shadow_->request_flush();
}

}  // namespace lockstep::impl
