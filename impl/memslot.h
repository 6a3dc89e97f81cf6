// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory slots: which gfns exist, what backs them, what is known of each gfn.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "impl/error.h"
#include "impl/mmio_encoding.h"
#include "impl/range_math.h"
#include "impl/shadow_page.h"
#include "impl/shared_flag.h"
#include "impl/thread_line.h"
#include "spec/vocabulary/address.h"

namespace lockstep::impl {

/// Argument of KVM_SET_USER_MEMORY_REGION. Any value is allowed.
struct MemoryRegion {
  std::uint64_t id = 0;
  Gpa gpa = 0;
  std::uint64_t size = 0;  ///< bytes; 0 deletes
  Hva hva = 0;
  bool log = false;
  bool read_only = false;
};

/// Zeroed array that costs nothing until it is used.
template <typename T>
class ZeroedArray {
 public:
  ZeroedArray() = default;
  /// no_memory if the host has none left, or the plan says so.
  static Expected<ZeroedArray> make(std::uint64_t count, FaultPlan& plan) {
    ZeroedArray array;
    if (plan.fails_now()) return fail(Error::no_memory);
    array.data_.reset(static_cast<T*>(std::calloc(count, sizeof(T))));
    if (!array.data_) return fail(Error::no_memory);
    return array;
  }
  explicit operator bool() const { return data_ != nullptr; }
  T& operator[](std::uint64_t index) { return data_.get()[index]; }
  const T& operator[](std::uint64_t index) const { return data_.get()[index]; }
  void reset() { data_.reset(); }

 private:
  struct Free {
    void operator()(T* data) const noexcept { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
};

/// Numbers of the levels that leaves may have.
inline constexpr unsigned leaf_levels = 3;

/// KVM: struct kvm_memory_slot.
struct MemorySlot {
  unsigned id = 0;
  Gfn base = 0;
  std::uint64_t pages = 0;
  Hva hva = 0;
  SharedFlag log;
  bool read_only = false;
  /// It is about to go: nothing new may be mapped. KVM: KVM_MEMSLOT_INVALID.
  SharedFlag invalid;
  /// Leaf SPTEs of each gfn, by level - 1; absent if no shadow page may exist.
  std::array<ZeroedArray<RmapHead>, leaf_levels> rmap;
  /// How many reasons forbid a huge page, by level - 2: edges of the slot, hva
  /// and gfn that do not agree, shadowed tables. KVM: lpage_info.
  std::array<ZeroedArray<std::int32_t>, leaf_levels - 1> no_huge;
  /// Upper-level tables and external users that follow each gfn; absent until
  /// somebody needs it. KVM: gfn_write_track.
  ZeroedArray<std::uint16_t> tracked;
  ZeroedArray<std::uint64_t> dirty;  ///< bitmap; exists while `log`, but for rings
  schedule::Tag dirty_tag{"dirty-bitmap"};

  bool contains(Gfn gfn) const { return gfn - base < pages; }
  std::uint64_t dirty_words() const { return (pages + 63) / 64; }
  Hva hva_of(Gpa gpa) const { return hva + (gpa - gfn_to_gpa(base)); }
  /// Index of the gfn among what the slot keeps for the level.
  std::uint64_t index_of(Gfn gfn, unsigned level) const {
    return array_index<std::uint64_t>(gfn, base, level);
  }
  std::uint64_t entries(unsigned level) const {
    return array_size<std::uint64_t>(base, pages, level);
  }
  /// Of the slot and what it keeps for each gfn.
  std::uint64_t bytes() const;
  bool has_rmaps() const { return static_cast<bool>(rmap[0]); }
  RmapHead& rmap_of(Gfn gfn, unsigned level) { return rmap[level - 1][index_of(gfn, level)]; }
  std::int32_t& no_huge_of(Gfn gfn, unsigned level) {
    return no_huge[level - 2][index_of(gfn, level)];
  }
  /// A leaf of this level may map the gfn. KVM: __kvm_mmu_max_mapping_level().
  bool allows(Gfn gfn, unsigned level) const {
    return level == 1 || no_huge[level - 2][index_of(gfn, level)] == 0;
  }
  std::uint16_t& tracked_of(Gfn gfn) { return tracked[gfn - base]; }
  bool is_tracked(Gfn gfn) const { return tracked && tracked[gfn - base] != 0; }
  bool is_dirty(Gfn gfn) const {
    return dirty && ((dirty[(gfn - base) / 64] >> ((gfn - base) % 64)) & 1) != 0;
  }
  /// Set the bit; from several threads at once. KVM: mark_page_dirty_in_slot().
  void set_dirty(Gfn gfn) {
    if (!dirty) return;
    std::atomic_ref<std::uint64_t>(dirty[(gfn - base) / 64])
        .fetch_or(1ull << ((gfn - base) % 64), std::memory_order_relaxed);
  }
};

/// What a region does to the slots. KVM: enum kvm_mr_change.
enum class SlotChange : std::uint8_t { nothing, create, remove, move, flags };

/// The slots of one address space, by gfn and by id. One thread changes them, and
/// vCPUs look them up meanwhile: who changes says how to wait until nobody looks at
/// what was there before. KVM: kvm_swap_active_memslots(), synchronize_srcu().
class SlotTable {
 public:
  /// Bounds of what a region may name, checked before anything else.
  struct Limits {
    std::uint64_t slots = 32764;                  ///< KVM_USER_MEM_SLOTS
    std::uint64_t slot_pages = (1ull << 31) - 1;  ///< KVM_MEM_MAX_NR_PAGES
    Gfn max_gfn = (1ull << 40) - 1;               ///< kvm_mmu_max_gfn()
    Hva hva_end = 1ull << 46;                     ///< user addresses above the base
  };
  explicit SlotTable(const Limits& limits) : limits_(limits) {}

  /// What the region would change, or why not. The order of checks is that of
  /// __kvm_set_memory_region() in Linux 6.1.
  Expected<SlotChange> classify(const MemoryRegion& region) const;

  MemorySlot* by_id(std::uint64_t id);
  const MemorySlot* by_id(std::uint64_t id) const;
  /// Slot of the gfn, or null. O(log slots), O(1) if it was the last one. From any
  /// thread whose reading the waits wait for: inside a section of SlotReaders.
  MemorySlot* by_gfn(Gfn gfn);

  /// Room for one more slot: what may fail, before anything is changed.
  class [[nodiscard]] Room {
    friend class SlotTable;
    Room() = default;
  };
  Expected<Room> room();
  /// Insert a slot that overlaps none; stable address until it is taken out.
  template <typename Wait>
  MemorySlot& insert(std::unique_ptr<MemorySlot> slot, Room&& room, Wait&& wait) {
    MemorySlot& there = put(std::move(slot), std::move(room));
    publish();
    wait();
    return there;
  }
  /// Take a slot out, which nobody sees any more; null if there is none.
  template <typename Wait>
  std::unique_ptr<MemorySlot> extract(std::uint64_t id, Wait&& wait) {
    std::unique_ptr<MemorySlot> slot = take(id);
    publish();
    return retire(std::move(slot), wait);
  }
  /// Both at once: every lookup finds the old slot or the new one.
  template <typename Wait>
  std::unique_ptr<MemorySlot> replace(std::uint64_t id, std::unique_ptr<MemorySlot> by, Room&& room,
                                      Wait&& wait) {
    std::unique_ptr<MemorySlot> slot = take(id);
    put(std::move(by), std::move(room));
    publish();
    return retire(std::move(slot), wait);
  }
  bool empty() const { return slots_.empty(); }

  /// Grows with every change of the slots; bit 63 is set while one goes on.
  /// KVM: kvm_memslots::generation.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  static constexpr std::uint64_t in_progress = update_in_progress;
  static constexpr unsigned address_spaces = 2;
  /// Publish a change. Two address spaces share the numbers, so it grows by two.
  /// KVM: kvm_swap_active_memslots().
  void begin_change() {
    schedule::announce(generation_tag_, schedule::Access::write);
    set_generation(generation() | in_progress);
  }
  void end_change() {
    schedule::announce(generation_tag_, schedule::Access::write);
    set_generation(next_generation<std::uint64_t>(generation(), address_spaces));
  }
  /// Tests only: start from a generation near the wrap.
  void set_generation(std::uint64_t generation) {
    generation_.store(generation, std::memory_order_release);
  }

  /// Which allocation for slots fails: fault injection.
  FaultPlan& plan() { return plan_; }

  /// Every slot, by ascending gfn.
  const std::vector<std::unique_ptr<MemorySlot>>& all() const { return slots_; }

 private:
  bool overlaps(std::uint64_t id, Gfn first, Gfn end) const;
  MemorySlot& put(std::unique_ptr<MemorySlot> slot, Room&& room);
  std::unique_ptr<MemorySlot> take(std::uint64_t id);
  void publish();
  std::unique_ptr<MemorySlot> forget(std::unique_ptr<MemorySlot> slot);
  /// Nobody finds the slot among the others any more. Who began before may remember it
  /// as used last, and who begins now may find it there: wait for both.
  template <typename Wait>
  std::unique_ptr<MemorySlot> retire(std::unique_ptr<MemorySlot> slot, Wait&& wait) {
    wait();
    slot = forget(std::move(slot));
    wait();
    return slot;
  }

  Limits limits_;
  std::vector<std::unique_ptr<MemorySlot>> slots_;
  /// What lookups see, by gfn: one array is read, the other one is written next.
  /// KVM: kvm_memslots, active and inactive.
  std::array<std::vector<MemorySlot*>, 2> published_;
  std::atomic<unsigned> read_ = 0;
  schedule::Tag read_tag_{"slots"};
  schedule::Tag generation_tag_{"generation"};
  FaultPlan plan_;
  PerThread<std::atomic<MemorySlot*>> last_used_;  ///< KVM: kvm_vcpu::last_used_slot
  std::atomic<std::uint64_t> generation_ = 0;
};

/// Allocate what a slot keeps for each gfn, and count its edges. Rmaps and
/// tracking only if asked. KVM: kvm_alloc_memslot_metadata().
Expected<void> allocate_metadata(MemorySlot& slot, bool rmaps, bool tracking, FaultPlan& plan);
/// KVM: memslot_rmap_alloc(), kvm_page_track_write_tracking_alloc(). Nothing
/// changes if there is no memory; nothing happens if they exist.
Expected<void> allocate_rmaps(MemorySlot& slot, FaultPlan& plan);
Expected<void> allocate_tracking(MemorySlot& slot, FaultPlan& plan);
/// Count anew what the slot's place says about huge pages: after a move.
void count_edges(MemorySlot& slot);
/// Allocate the dirty bitmap, with every page's bit set or none.
Expected<void> allocate_dirty_bitmap(MemorySlot& slot, bool all_set, FaultPlan& plan);

}  // namespace lockstep::impl
