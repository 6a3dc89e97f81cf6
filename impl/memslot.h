// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory slots: which gfns exist, what backs them, what is known of each gfn.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "impl/error.h"
#include "impl/shadow_page.h"
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
  /// no_memory if the host has none left.
  static Expected<ZeroedArray> make(std::uint64_t count) {
    ZeroedArray array;
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

/// Head of the rmap of one gfn; all-zero means empty, so that calloc() makes it.
class RmapHead {
 public:
  SpteRef first() const {
    return raw_ == 0 ? SpteRef{} : SpteRef((raw_ - 1) >> 9, (raw_ - 1) & 511);
  }
  void set(SpteRef ref) { raw_ = ref.none() ? 0 : ((ref.page() << 9) | ref.entry()) + 1; }

 private:
  std::uint32_t raw_;
};

/// KVM: struct kvm_memory_slot.
struct MemorySlot {
  unsigned id = 0;
  Gfn base = 0;
  std::uint64_t pages = 0;
  Hva hva = 0;
  bool log = false;
  bool read_only = false;
  ZeroedArray<RmapHead> rmap;          ///< leaf SPTEs of each gfn
  ZeroedArray<std::uint16_t> tracked;  ///< shadow pages that follow each gfn
  ZeroedArray<std::uint64_t> dirty;    ///< bitmap; exists while `log`

  bool contains(Gfn gfn) const { return gfn - base < pages; }
  std::uint64_t dirty_words() const { return (pages + 63) / 64; }
  Hva hva_of(Gpa gpa) const { return hva + (gpa - gfn_to_gpa(base)); }
  RmapHead& rmap_of(Gfn gfn) { return rmap[gfn - base]; }
  std::uint16_t& tracked_of(Gfn gfn) { return tracked[gfn - base]; }
  bool is_tracked(Gfn gfn) const { return tracked[gfn - base] != 0; }
  bool is_dirty(Gfn gfn) const {
    return log && ((dirty[(gfn - base) / 64] >> ((gfn - base) % 64)) & 1) != 0;
  }
  /// KVM: mark_page_dirty_in_slot().
  void mark_dirty(Gfn gfn) {
    if (log) dirty[(gfn - base) / 64] |= 1ull << ((gfn - base) % 64);
  }
};

/// What a region does to the slots. KVM: enum kvm_mr_change.
enum class SlotChange : std::uint8_t { nothing, create, remove, move, flags };

/// The slots of one address space, by gfn and by id.
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
  /// Slot of the gfn, or null. O(log slots), O(1) if it was the last one.
  MemorySlot* by_gfn(Gfn gfn);

  /// Insert a slot that overlaps none; stable address until erased.
  MemorySlot& insert(std::unique_ptr<MemorySlot> slot);
  /// Take a slot out; null if there is none.
  std::unique_ptr<MemorySlot> extract(std::uint64_t id);
  bool empty() const { return slots_.empty(); }
  /// Every slot, by ascending gfn.
  const std::vector<std::unique_ptr<MemorySlot>>& all() const { return slots_; }

 private:
  bool overlaps(std::uint64_t id, Gfn first, Gfn end) const;

  Limits limits_;
  std::vector<std::unique_ptr<MemorySlot>> slots_;
  MemorySlot* last_used_ = nullptr;
};

/// Allocate what a slot keeps for each gfn. KVM: kvm_alloc_memslot_metadata().
Expected<void> allocate_metadata(MemorySlot& slot);
/// Allocate the dirty bitmap, with every page's bit set or none.
Expected<void> allocate_dirty_bitmap(MemorySlot& slot, bool all_set);

}  // namespace lockstep::impl
