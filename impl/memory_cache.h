// SPDX-License-Identifier: GPL-2.0-or-later
/// Per-vCPU stock of shadow pages, filled before a fault is handled.
#pragma once

#include <array>
#include <cstddef>

#include "impl/table_arena.h"

namespace lockstep::impl {

/// KVM: struct kvm_mmu_memory_cache. Filled where allocation may fail, drawn
/// from where failing would be awkward; an empty cache is still an error that
/// the caller sees, never a crash.
class MemoryCache {
 public:
  static constexpr std::size_t capacity = 8;

  explicit MemoryCache(TableArena& arena) : arena_(&arena) {}

  std::size_t size() const { return size_; }

  /// Fill to capacity if fewer than `minimum` objects (at most capacity) are
  /// left. no_memory only if the minimum cannot be reached; what was allocated
  /// stays. KVM: __kvm_mmu_topup_memory_cache().
  Expected<void> topup(std::size_t minimum) {
    if (size_ >= minimum) return {};
    while (size_ < capacity) {
      auto object = arena_->allocate();
      if (!object) {
        if (size_ >= minimum) break;
        return fail(object.error());
      }
      objects_[size_++] = std::move(*object);
    }
    return {};
  }

  /// One object, or no_memory if the cache is empty.
  Expected<ShadowPagePtr> take() {
    if (size_ == 0) return fail(Error::no_memory);
    return std::move(objects_[--size_]);
  }

  /// Give everything back, as a shrinker would.
  void empty() {
    while (size_ != 0) objects_[--size_].reset();
  }

 private:
  TableArena* arena_;
  std::size_t size_ = 0;
  std::array<ShadowPagePtr, capacity> objects_;
};

}  // namespace lockstep::impl
