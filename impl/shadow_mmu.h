// SPDX-License-Identifier: GPL-2.0-or-later
/// The shadow pages of one VM and the operations that keep them consistent:
/// get, link, map, zap, write-protect.
#pragma once

#include <cstdint>

#include "impl/error.h"
#include "impl/memory_cache.h"
#include "impl/memslot.h"
#include "impl/page_counter.h"
#include "impl/page_hash.h"
#include "impl/shadow_page.h"

namespace lockstep::impl {

class ShadowMmu;

/// A vCPU's hold on a root: keeps the page, even zapped, until it is dropped.
/// Must not outlive the MMU.
class RootRef {
 public:
  RootRef() = default;
  RootRef(RootRef&& other) noexcept
      : mmu_(std::exchange(other.mmu_, nullptr)), page_(std::exchange(other.page_, nullptr)) {}
  RootRef& operator=(RootRef&& other) noexcept {
    std::swap(mmu_, other.mmu_);
    std::swap(page_, other.page_);
    return *this;
  }
  ~RootRef();

  explicit operator bool() const { return page_ != nullptr; }
  ShadowPage& page() const { return *page_; }
  /// There is a root and nobody zapped it.
  bool usable() const { return page_ != nullptr && !page_->invalid; }

 private:
  friend class ShadowMmu;
  RootRef(ShadowMmu& mmu, ShadowPage& page) : mmu_(&mmu), page_(&page) { ++page.root_count; }
  ShadowMmu* mmu_ = nullptr;
  ShadowPage* page_ = nullptr;
};

/// What happened to shadow pages since the VM was made.
struct MmuEvents {
  std::uint64_t pages_created = 0;
  std::uint64_t pages_zapped = 0;
  std::uint64_t write_protected = 0;  ///< SPTEs
  std::uint64_t recycled = 0;         ///< pages zapped by the limit
};

class ShadowMmu {
 public:
  /// `slots` and `arena` outlive the MMU.
  ShadowMmu(SlotTable& slots, TableArena& arena, std::uint64_t page_limit);

  /// The page of (gfn, role): an existing one, or a fresh one from `cache`.
  /// A fresh indirect page makes its gfn tracked and write-protects it
  /// everywhere. no_memory if the cache is empty. KVM: kvm_mmu_get_shadow_page().
  Expected<ShadowPage*> get_page(MemoryCache& cache, Gfn gfn, const Role& role);

  /// Make `entry` of `parent` refer to `child`; whatever it held goes first.
  void link(ShadowPage& parent, unsigned entry, ShadowPage& child);
  /// The page that a present non-leaf SPTE refers to.
  ShadowPage& child(const ShadowPage& parent, unsigned entry);
  /// Make `entry` of a level-1 page map `gfn` of `slot` with these rights,
  /// writing dirty bits as needed. Write access of tracked gfns and read-only
  /// slots is dropped. Returns the SPTE. KVM: mmu_set_spte().
  std::uint64_t map(ShadowPage& page, unsigned entry, MemorySlot& slot, Gfn gfn, Rights access);
  /// Drop whatever the entry holds. KVM: mmu_page_zap_pte().
  void clear(ShadowPage& page, unsigned entry);

  /// A hold on the page as a root.
  RootRef root(ShadowPage& page) { return RootRef(*this, page); }

  /// Unmake the page: its SPTEs, its parents' SPTEs, its tracking and charge.
  /// The memory goes with the last root reference. KVM: kvm_mmu_prepare_zap_page().
  void zap(ShadowPage& page);
  void zap_all();
  /// Free `pages` under the limit by zapping the oldest pages that are no root;
  /// no_space if there are not enough. KVM: make_mmu_pages_available().
  Expected<void> make_available(std::uint64_t pages);
  /// Let at most so many pages live from now on, and zap the oldest of the rest
  /// that are no root. KVM: kvm_mmu_change_mmu_pages().
  void set_page_limit(std::uint64_t pages);

  /// Remove write access from every SPTE of the gfn; true if one had it.
  /// KVM: kvm_mmu_slot_gfn_write_protect().
  bool write_protect(MemorySlot& slot, Gfn gfn);

  /// Drop every SPTE of the gfn; how many there were. KVM: kvm_unmap_rmap().
  unsigned unmap(MemorySlot& slot, Gfn gfn);

  /// A guest store of `size` bytes at `gpa` has changed memory: drop what
  /// followed the old contents. KVM: kvm_mmu_pte_write().
  void guest_wrote(Gpa gpa, unsigned size);

  /// Every TLB that may hold translations of this VM must forget them.
  void request_flush() { ++flush_generation_; }
  /// Grows with each flush request; a CPU flushes when it sees a new value.
  std::uint64_t flush_generation() const { return flush_generation_; }
  /// Grows when a root in use was zapped (KVM_REQ_MMU_FREE_OBSOLETE_ROOTS).
  std::uint64_t obsolete_generation() const { return obsolete_generation_; }

  const MmuEvents& events() const { return events_; }
  PageCounter& counter() { return counter_; }
  TableArena& arena() { return *arena_; }
  /// Present leaf SPTEs (KVM: stat.pages_4k).
  std::uint64_t mapped_pages() const { return mapped_pages_; }
  /// No shadow page is left, live or zapped.
  bool empty() const { return active_.empty() && zapped_roots_.empty() && hash_.size() == 0; }
  const PageList& active() const { return active_; }
  const PageHash& hash() const { return hash_; }

 private:
  friend class RootRef;
  void drop_root(ShadowPage& page);
  SpteLink& link_of(SpteRef ref) { return arena_->page(ref.page()).links[ref.entry()]; }
  void push(SpteRef head, SpteRef self);
  SpteRef unlink(SpteRef head, SpteRef self);
  void rmap_add(MemorySlot& slot, Gfn gfn, SpteRef self);
  void rmap_remove(Gfn gfn, SpteRef self);
  void zap_written(ShadowPage& page, unsigned offset, unsigned size);

  SlotTable* slots_;
  TableArena* arena_;
  PageCounter counter_;
  PageHash hash_;
  PageList active_;
  PageList zapped_roots_;
  MmuEvents events_;
  std::uint64_t mapped_pages_ = 0;
  std::uint64_t flush_generation_ = 0;
  std::uint64_t obsolete_generation_ = 0;
};

inline RootRef::~RootRef() {
  if (page_ != nullptr) mmu_->drop_root(*page_);
}

}  // namespace lockstep::impl
