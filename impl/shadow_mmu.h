// SPDX-License-Identifier: GPL-2.0-or-later
/// The shadow pages of one VM and the operations that keep them consistent:
/// get, link, map, zap, write-protect, synchronize, split, recover.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "impl/dirty_marker.h"
#include "impl/error.h"
#include "impl/memory_cache.h"
#include "impl/memslot.h"
#include "impl/nx_list.h"
#include "impl/page_counter.h"
#include "impl/page_hash.h"
#include "impl/protocol_steps.h"
#include "impl/shadow_page.h"
#include "impl/thread_line.h"

namespace lockstep::impl {

class ShadowMmu;

/// A vCPU's hold on a root: keeps the page, even zapped, until it is dropped.
/// Must not outlive the MMU.
class RootRef {
 public:
  RootRef() = default;
  RootRef(RootRef&& other) noexcept
      : mmu_(std::exchange(other.mmu_, nullptr)),
        page_(std::exchange(other.page_, nullptr)),
        token_(std::move(other.token_)) {}
  RootRef& operator=(RootRef&& other) noexcept {
    std::swap(mmu_, other.mmu_);
    std::swap(page_, other.page_);
    std::swap(token_, other.token_);
    return *this;
  }
  ~RootRef();

  explicit operator bool() const { return page_ != nullptr; }
  ShadowPage& page() const { return *page_; }
  /// There is a root, nobody zapped it, and its generation is the MMU's.
  bool usable() const;

 private:
  friend class ShadowMmu;
  RootRef(ShadowMmu& mmu, ShadowPage& page) : mmu_(&mmu), page_(&page), token_(page.roots) {}
  ShadowMmu* mmu_ = nullptr;
  ShadowPage* page_ = nullptr;
  Token token_;
};

/// A number that several threads count up, and nobody orders anything by.
class EventCount {
 public:
  EventCount& operator++() { return *this += 1; }
  EventCount& operator+=(std::uint64_t more) {
    count_.fetch_add(more, std::memory_order_relaxed);
    return *this;
  }
  operator std::uint64_t() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> count_ = 0;
};

/// What happened to shadow pages since the VM was made.
struct MmuEvents {
  EventCount pages_created;
  EventCount pages_zapped;
  EventCount write_protected;  ///< SPTEs
  EventCount recycled;         ///< pages zapped by the limit
  EventCount flooded;          ///< pages zapped for too many writes
  EventCount unsynced;         ///< pages that became unsync
  EventCount synced;           ///< ... and were synchronized
  EventCount split;            ///< huge leaves replaced by small ones
  EventCount collapsed;        ///< tables zapped to make room for a huge leaf
  EventCount nx_recovered;     ///< pages
  EventCount batches;          ///< times that zapping everything paused
};

/// Numbers of present leaves by level. They follow from each SPTE's change, so
/// nothing else can move them. KVM: stat.pages_4k, pages_2m, pages_1g.
class LeafCounts {
 public:
  std::uint64_t at(unsigned level) const {
    std::uint64_t sum = 0;
    counts_.each(
        [&](const Counts& counts) { sum += counts[level - 1].load(std::memory_order_relaxed); });
    return sum;
  }
  std::uint64_t total() const { return at(1) + at(2) + at(3); }
  /// An SPTE of the level changed.
  void account(unsigned level, std::uint64_t old, std::uint64_t now) {
    const bool was = spte_present(old) && spte_leaf(old, level);
    const bool is = spte_present(now) && spte_leaf(now, level);
    if (was == is) return;
    // One thread's may go below zero, their sum does not.
    counts_.mine()[level - 1].fetch_add(is ? 1 : ~0ull, std::memory_order_relaxed);
  }

 private:
  using Counts = std::array<std::atomic<std::uint64_t>, leaf_levels>;
  PerThread<Counts> counts_;
};

/// What the guest's table says about the page behind one SPTE.
struct GuestLeaf {
  Gfn gfn = 0;
  Rights access = 0;
};

/// The guest's tables as one vCPU reads them, for pages that lag behind.
class GuestTables {
 public:
  virtual ~GuestTables() = default;
  /// The vCPU would make pages of this role: others it must not judge.
  virtual bool can_judge(const Role& role) const = 0;
  /// What the entry behind an SPTE of a level-1 page maps now; none if it is not
  /// present or has a reserved bit set.
  virtual std::optional<GuestLeaf> leaf(const ShadowPage& page, unsigned entry) = 0;
};

/// What a vCPU brings to the MMU when it handles a fault.
struct FaultContext {
  FaultCaches& caches;
  DirtyMarker& dirty;
  GuestTables& tables;
};

/// A leaf to be installed; gfn and frame are the first of its size.
struct Mapping {
  MemorySlot& slot;
  Gfn gfn = 0;
  Hfn frame = 0;
  bool host_writable = true;
  Rights access = 0;
};

/// Pages that are unmade together: when the batch goes, every TLB is told, and
/// then their memory is given back. It cannot be forgotten (KVM: an invalid list
/// that nobody commits, e89505698c9f).
class ZapBatch {
 public:
  explicit ZapBatch(ShadowMmu& mmu);
  ZapBatch(const ZapBatch&) = delete;
  ZapBatch& operator=(const ZapBatch&) = delete;
  ~ZapBatch();
  /// Pages zapped so far: those that were asked for and unsync ones below.
  unsigned pages() const { return pages_; }

 private:
  friend class ShadowMmu;
  ShadowMmu* mmu_;
  PageList doomed_;
  unsigned pages_ = 0;
};

struct MmuOptions {
  std::uint64_t page_limit = 4096;
  bool nx_huge_pages = false;
  bool dirty_bits = false;  ///< log by D bits instead of write protection
};

class ShadowMmu {
 public:
  /// `slots` and `arena` outlive the MMU.
  ShadowMmu(SlotTable& slots, TableArena& arena, const MmuOptions& options);

  // Pages and links: shadow_mmu.cpp.

  /// The page of (gfn, role) that maps gfns in order: an existing one, or a fresh
  /// one. no_memory if the cache is empty. KVM: kvm_mmu_get_shadow_page().
  Expected<ShadowPage*> get_direct(MemoryCache& cache, Gfn gfn, const Role& role);
  /// The page that shadows the guest's table at the gfn. An existing one that is
  /// unsync is brought up to date first. A fresh one makes its gfn tracked and
  /// write-protects it everywhere.
  Expected<ShadowPage*> get_shadow(FaultContext& context, Gfn gfn, const Role& role);
  /// Make `entry` of `parent` refer to `child`; whatever it held goes first.
  Expected<void> link(RmapCache& cache, ShadowPage& parent, unsigned entry, ShadowPage& child);
  /// The page that a present non-leaf SPTE refers to.
  ShadowPage& child(const ShadowPage& parent, unsigned entry);
  /// Drop whatever the entry holds. KVM: mmu_page_zap_pte().
  void clear(ShadowPage& page, unsigned entry);

  // Leaves: shadow_mmu_leaf.cpp.

  enum class Mapped : std::uint8_t { done, write_denied };
  /// Map a page. Write access of tracked gfns and read-only slots is dropped; a
  /// write to a table that only level-1 pages shadow makes these unsync instead.
  /// KVM: mmu_set_spte(), make_spte().
  Expected<Mapped> map(FaultContext& context, ShadowPage& page, unsigned entry,
                       const Mapping& mapping);
  /// Remember that the entry's gfn has no memslot. KVM: mark_mmio_spte().
  void map_mmio(ShadowPage& page, unsigned entry, Gfn gfn, Rights access);
  /// Remove write access from every SPTE of the gfn at `least` or a higher level;
  /// `for_good` unless it is for the dirty log. True if one had it.
  /// KVM: kvm_mmu_slot_gfn_write_protect().
  bool write_protect(MemorySlot& slot, Gfn gfn, unsigned least, bool for_good);
  /// Drop every leaf of this level of the gfn; how many there were.
  unsigned unmap(MemorySlot& slot, Gfn gfn, unsigned level);
  /// Drop every leaf of gfns [first, end); how many. KVM: kvm_unmap_gfn_range().
  unsigned unmap_range(MemorySlot& slot, Gfn first, Gfn end);
  /// Clear accessed bits of the range; whether one was set. KVM: kvm_age_gfn().
  bool age_range(MemorySlot& slot, Gfn first, Gfn end);
  /// Take dirty bits of a gfn's 4-KiB SPTEs away and report whether one was set.
  /// KVM: kvm_mmu_clear_dirty_pt_masked(); the bits stand for a log of the CPU.
  bool take_dirty_bits(MemorySlot& slot, Gfn gfn);

  // Pages that lag behind the guest: shadow_mmu_sync.cpp.

  /// Let the guest write the table at the gfn, if only level-1 pages shadow it:
  /// they are unsync from now on. False if it must stay protected.
  /// KVM: mmu_try_to_unsync_pages().
  bool try_to_unsync(MemorySlot& slot, Gfn gfn, bool can_unsync, bool prefetch);
  /// Bring a page and every unsync page below up to date, and protect their
  /// tables again. KVM: mmu_sync_children().
  void sync_tree(FaultContext& context, ShadowPage& root);
  /// INVLPG of an address on one root: forget the SPTE of an unsync page.
  /// KVM: FNAME(invlpg).
  void invalidate_address(ShadowPage& root, Gva gva);
  /// A guest store of `size` bytes at `gpa` has changed memory: drop what
  /// followed the old contents. KVM: kvm_mmu_pte_write().
  void guest_wrote(Gpa gpa, unsigned size);

  // Huge pages: shadow_mmu_huge.cpp.

  /// Replace a huge leaf by a table of leaves that map the same. The caches hold
  /// a page and 513 descriptors. KVM: shadow_mmu_split_huge_page().
  Expected<void> split(MemoryCache& pages, SplitRmapCache& rmaps, ShadowPage& page, unsigned entry);
  /// Some huge leaf of [first, end) at or above level 2, to be split next.
  std::optional<SpteRef> huge_leaf(MemorySlot& slot, Gfn first, Gfn end);
  /// Drop small leaves where a larger one could map the gfn: `host_level(gfn)`
  /// says how large. KVM: kvm_rmap_zap_collapsible_sptes().
  template <typename HostLevel>
  void collapse(MemorySlot& slot, HostLevel&& host_level);
  /// Pages below which the iTLB multihit mitigation forbids a huge page, this
  /// MMU's and the TDP MMU's.
  NxList& nx() { return nx_; }
  const NxList& nx() const { return nx_; }

  // Zapping: shadow_mmu_zap.cpp.

  /// A hold on the page as a root.
  RootRef root(ShadowPage& page) { return RootRef(*this, page); }
  /// Unmake the page: its SPTEs, its parents' SPTEs, unsync pages below, its
  /// tracking and charge. The memory goes with the last root reference.
  /// KVM: __kvm_mmu_prepare_zap_page().
  void zap(ZapBatch& batch, ShadowPage& page);
  void zap(ShadowPage& page);
  /// Every page becomes obsolete at once, then goes in batches, between which the
  /// caller's `relax()` may let others in. KVM: kvm_mmu_zap_all_fast().
  template <typename Relax>
  void zap_all(Relax&& relax);
  void zap_all() {
    zap_all([] {});
  }
  /// Zap what refers to the slot and nothing else: its leaves, and the pages that
  /// shadow tables in it. KVM: kvm_mmu_zap_memslot_pages_and_flush().
  void zap_slot(MemorySlot& slot);
  /// Free `pages` under the limit by zapping the oldest pages that are no root;
  /// no_space if there are not enough. KVM: make_mmu_pages_available().
  Expected<void> make_available(std::uint64_t pages);
  /// Zap at least so many of the oldest pages that are no root, if there are.
  std::uint64_t zap_oldest(std::uint64_t pages);
  /// Let at most so many pages live from now on, and zap the oldest of the rest
  /// that are no root. KVM: kvm_mmu_change_mmu_pages().
  void set_page_limit(std::uint64_t pages);
  bool is_obsolete(const ShadowPage& page) const {
    return impl::is_obsolete<bool>(page.invalid, page.valid_generation, valid_generation_);
  }

  /// Every TLB that may hold translations of this VM must forget them.
  void request_flush() { flush_generation_.fetch_add(1, std::memory_order_relaxed); }
  /// Grows with each flush request; a CPU flushes when it sees a new value.
  std::uint64_t flush_generation() const {
    return flush_generation_.load(std::memory_order_relaxed);
  }
  /// Grows when a root in use was zapped (KVM_REQ_MMU_FREE_OBSOLETE_ROOTS), always
  /// after the root was marked.
  std::uint64_t obsolete_generation() const { return obsolete_generation_; }

  const MmuEvents& events() const { return events_; }
  MmuEvents& events() { return events_; }
  PageCounter& counter() { return counter_; }
  const PageCounter& counter() const { return counter_; }
  TableArena& arena() { return *arena_; }
  SlotTable& slots() { return *slots_; }
  const MmuOptions& options() const { return options_; }
  /// Present leaf SPTEs.
  LeafCounts& leaves() { return leaves_; }
  const LeafCounts& leaves() const { return leaves_; }
  std::uint64_t mapped_pages() const { return leaves_.total(); }
  std::uint64_t unsync_pages() const { return unsync_.value(); }
  std::uint64_t indirect_pages() const { return indirect_.value(); }
  bool valid_generation() const { return valid_generation_; }
  /// No shadow page is left, live or zapped.
  bool empty() const { return active_.empty() && zapped_roots_.empty() && hash_.size() == 0; }
  const PageList& active() const { return active_; }
  const PageList& zapped_roots() const { return zapped_roots_; }
  const PageHash& hash() const { return hash_; }

 private:
  friend class RootRef;
  friend class ZapBatch;
  ShadowPage& page_of(SpteRef ref) const { return arena_->page(ref.page()); }
  RmapPool& rmaps() { return arena_->rmaps(); }
  ShadowPage& adopt(ShadowPagePtr fresh, Gfn gfn, const Role& role);
  void account_shadowed(ShadowPage& page);
  /// Every SPTE of this MMU is written here. Returns what it was: where processors set
  /// dirty bits, one may have been set until now. KVM: mmu_spte_clear_track_bits().
  std::uint64_t write(ShadowPage& page, unsigned entry, std::uint64_t value) {
    std::uint64_t old = page.spte(entry);
    if (options_.dirty_bits && spte_writable(old)) {
      old = page.swap(entry, value);
    } else {
      page.set(entry, value);
    }
    leaves_.account(page.role.level, old, value);
    return old;
  }
  void drop_leaf(ShadowPage& page, unsigned entry);
  /// A dirty bit of a logged page that goes with the old SPTE goes to the bitmap.
  void keep_dirty(MemorySlot& slot, Gfn gfn, unsigned level, std::uint64_t old,
                  std::uint64_t now) const;
  void drop_link(ShadowPage& parent, unsigned entry);
  void drop_root(ShadowPage& page);
  std::uint64_t make_leaf(FaultContext& context, ShadowPage& page, std::uint64_t old,
                          const Mapping& mapping, bool sync, bool& denied);
  void mark_unsync(ShadowPage& page);
  void mark_parents(ShadowPage& page);
  void unlink_unsync(ShadowPage& page);
  template <typename Visit>
  void each_unsync(ShadowPage& parent, Visit&& visit);
  enum class Synced : std::uint8_t { same, changed, unfit };
  Synced sync_entries(FaultContext& context, ShadowPage& page);
  void zap_written(ShadowPage& page, unsigned offset, unsigned size);
  void commit(ZapBatch& batch);

  SlotTable* slots_;
  TableArena* arena_;
  MmuOptions options_;
  TokenCount unsync_;
  TokenCount indirect_;
  NxList nx_;
  PageCounter counter_;
  PageHash hash_;
  PageList active_;
  PageList zapped_roots_;
  MmuEvents events_;
  LeafCounts leaves_;
  SharedFlag valid_generation_;
  std::atomic<std::uint64_t> flush_generation_ = 0;
  std::atomic<std::uint64_t> obsolete_generation_ = 0;
};

inline RootRef::~RootRef() {
  if (page_ == nullptr) return;
  token_ = Token{};
  mmu_->drop_root(*page_);
}
inline bool RootRef::usable() const { return page_ != nullptr && !mmu_->is_obsolete(*page_); }

inline ZapBatch::ZapBatch(ShadowMmu& mmu) : mmu_(&mmu), doomed_(mmu.arena()) {}
inline ZapBatch::~ZapBatch() { mmu_->commit(*this); }

template <typename Relax>
void ShadowMmu::zap_all(Relax&& relax) {
  constexpr unsigned batch_pages = 10;  // KVM: BATCH_ZAP_PAGES
  valid_generation_ = !valid_generation_;
  obsolete_generation_.fetch_add(1, std::memory_order_release);
  for (;;) {
    {
      ZapBatch batch(*this);
      // Fresh pages stand in front: the first one of this generation ends it.
      while (batch.pages() < batch_pages && active_.oldest() != nullptr &&
             is_obsolete(*active_.oldest())) {
        zap(batch, *active_.oldest());
      }
    }
    if (active_.oldest() == nullptr || !is_obsolete(*active_.oldest())) return;
    ++events_.batches;
    relax();
  }
}

/// Call visit(page) for each unsync page below `parent`; afterwards the page is
/// no longer unsync, or no longer there. Depth is that of the tables.
template <typename Visit>
void ShadowMmu::each_unsync(ShadowPage& parent, Visit&& visit) {
  parent.unsync_children.for_each([&](unsigned entry) {
    const std::uint64_t spte = parent.spte(entry);
    if (spte_present(spte) && !spte_leaf(spte, parent.role.level)) {
      ShadowPage& below = child(parent, entry);
      if (below.unsync) {
        visit(below);
      } else {
        each_unsync(below, visit);
        if (below.unsync_children.count() != 0) return;
      }
    }
    parent.unsync_children.clear(entry);
  });
}

template <typename HostLevel>
void ShadowMmu::collapse(MemorySlot& slot, HostLevel&& host_level) {
  if (!slot.has_rmaps()) return;
  for (unsigned level = 1; level < leaf_levels; ++level) {
    for (std::uint64_t i = 0; i < slot.entries(level); ++i) {
      const RmapHead& head = slot.rmap[level - 1][i];
      for (bool again = !head.empty(); again;) {
        again = false;
        std::optional<SpteRef> small;
        head.for_each(rmaps(), [&](SpteRef ref) {
          ShadowPage& page = page_of(ref);
          if (!small && page.role.direct && host_level(page.gfn_at(ref.entry())) > level) {
            small = ref;
          }
        });
        if (!small) continue;
        clear(page_of(*small), small->entry());
        ++events_.collapsed;
        again = true;
      }
    }
  }
}

}  // namespace lockstep::impl
