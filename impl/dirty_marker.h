// SPDX-License-Identifier: GPL-2.0-or-later
/// Where written pages are remembered: in the slot's bitmap, or in the ring of
/// the vCPU that writes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "impl/memslot.h"
#include "impl/mutants.h"

namespace lockstep::impl {

/// KVM: struct kvm_dirty_ring. A vCPU must not enter the guest while it is full.
class DirtyRing {
 public:
  static constexpr std::size_t capacity = 1024;
  /// Entries that one exit may still add. KVM: kvm_dirty_ring_get_rsvd_entries().
  static constexpr std::size_t reserved = 128;

  struct Entry {
    unsigned slot = 0;
    std::uint64_t page = 0;  ///< of the slot
  };

  /// KVM_EXIT_DIRTY_RING_FULL.
  bool full() const { return pushed_ - taken_ >= capacity - reserved; }
  bool empty() const { return pushed_ == taken_; }
  void push(const Entry& entry) {
    // Beyond the reserve nothing is lost either: the newest entry is doubled at most.
    if (!empty() && last_.slot == entry.slot && last_.page == entry.page) return;
    if (pushed_ - taken_ == capacity) return;
    entries_[pushed_++ % capacity] = entry;
    last_ = entry;
  }
  /// Call visit(entry) for each, oldest first, and forget them.
  template <typename Visit>
  void take(Visit&& visit) {
    while (taken_ != pushed_) visit(entries_[taken_++ % capacity]);
    last_ = {~0u, ~0ull};
  }

 private:
  std::array<Entry, capacity> entries_{};
  std::uint64_t pushed_ = 0;
  std::uint64_t taken_ = 0;
  Entry last_{~0u, ~0ull};
};

/// KVM: mark_page_dirty_in_slot() on behalf of one vCPU.
class DirtyMarker {
 public:
  explicit DirtyMarker(bool use_ring) : use_ring_(use_ring) {}

  void mark(MemorySlot& slot, Gfn gfn) {
    if (!slot.log) return;
    if (use_ring_) {
      if (!mutant(Mutant::ring_loses_entries) || (gfn & 1) == 0) {
        ring_.push({slot.id, gfn - slot.base});
      }
    } else {
      slot.set_dirty(gfn);
    }
  }
  DirtyRing& ring() { return ring_; }

 private:
  bool use_ring_;
  DirtyRing ring_;
};

}  // namespace lockstep::impl
