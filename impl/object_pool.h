// SPDX-License-Identifier: GPL-2.0-or-later
/// Where small objects of the MMU come from: chunks that never move, an index
/// for each object, and owners that give it back.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "impl/cache_capacity.h"
#include "impl/error.h"
#include "spec/vocabulary/schedule_point.h"

namespace lockstep::impl {

/// Allocations that succeed until one fails, once: fault injection.
class FaultPlan {
 public:
  void fail_after(std::uint64_t n) { countdown_ = n; }
  void never_fail() { countdown_.reset(); }
  bool fails_now() {
    if (!countdown_) return false;
    if (*countdown_ != 0) {
      --*countdown_;
      return false;
    }
    countdown_.reset();
    return true;
  }

 private:
  std::optional<std::uint64_t> countdown_;
};

template <typename T>
class ObjectPool;

/// Sole owner of an object of a pool. Move-only; must not outlive the pool.
template <typename T>
class [[nodiscard]] Pooled {
 public:
  Pooled() = default;
  Pooled(Pooled&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), index_(other.index_) {}
  Pooled& operator=(Pooled&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(index_, other.index_);
    return *this;
  }
  ~Pooled() { reset(); }

  explicit operator bool() const { return pool_ != nullptr; }
  T& operator*() const { return pool_->at(index_); }
  T* operator->() const { return &pool_->at(index_); }
  std::uint32_t index() const { return index_; }
  void reset() {
    if (auto* pool = std::exchange(pool_, nullptr)) pool->give_back(index_);
  }
  /// Hand the object over to whoever keeps its index; ObjectPool::adopt() is the
  /// way back.
  [[nodiscard]] std::uint32_t release() {
    pool_ = nullptr;
    return index_;
  }

 private:
  friend class ObjectPool<T>;
  Pooled(ObjectPool<T>& pool, std::uint32_t index) : pool_(&pool), index_(index) {}
  ObjectPool<T>* pool_ = nullptr;
  std::uint32_t index_ = 0;
};

/// Allocation is thread-safe, and so is access to objects that one owns.
template <typename T>
class ObjectPool {
 public:
  using Ptr = Pooled<T>;

  ObjectPool() = default;
  ObjectPool(const ObjectPool&) = delete;
  ObjectPool& operator=(const ObjectPool&) = delete;
  ~ObjectPool() {
    for (std::uint32_t i = 0; i < chunks_; ++i) delete[] directory_[i].load();
  }

  /// An object as its last owner left it (fresh ones are value-initialized), or
  /// no_memory.
  Expected<Ptr> allocate() {
    const std::scoped_lock lock(mutex_);
    if (plan_.fails_now()) return fail(Error::no_memory);
    if (free_ == none && !grow()) return fail(Error::no_memory);
    const std::uint32_t index = free_;
    free_ = next_[index / chunk_objects][index % chunk_objects];
    ++in_use_;
    return Ptr(*this, index);
  }
  /// The object with this index, which somebody owns.
  T& at(std::uint32_t index) const {
    return directory_[index / chunk_objects].load(std::memory_order_acquire)[index % chunk_objects];
  }
  /// Own again what release() gave up.
  Ptr adopt(std::uint32_t index) { return Ptr(*this, index); }
  /// Objects handed out and not returned.
  std::uint64_t in_use() const { return in_use_; }
  FaultPlan& plan() { return plan_; }

 private:
  friend Pooled<T>;
  static constexpr std::uint32_t chunk_objects = 256;
  static constexpr std::uint32_t most_chunks = 1u << 13;
  static constexpr std::uint32_t none = ~0u;

  bool grow() {
    if (chunks_ == most_chunks) return false;
    std::unique_ptr<T[]> objects(new (std::nothrow) T[chunk_objects]());
    std::unique_ptr<std::uint32_t[]> next(new (std::nothrow) std::uint32_t[chunk_objects]);
    if (!objects || !next) return false;
    const std::uint32_t first = chunks_ * chunk_objects;
    for (std::uint32_t i = 0; i < chunk_objects; ++i) {
      next[i] = i + 1 == chunk_objects ? free_ : first + i + 1;
    }
    directory_[chunks_].store(objects.release(), std::memory_order_release);
    next_[chunks_] = std::move(next);
    free_ = first;
    ++chunks_;
    return true;
  }
  void give_back(std::uint32_t index) noexcept {
    const std::scoped_lock lock(mutex_);
    next_[index / chunk_objects][index % chunk_objects] = free_;
    free_ = index;
    --in_use_;
  }

  mutable std::mutex mutex_;
  FaultPlan plan_;
  std::unique_ptr<std::atomic<T*>[]> directory_ { new std::atomic<T*>[ most_chunks ]() };
  std::unique_ptr<std::unique_ptr<std::uint32_t[]>[]> next_ {
    new std::unique_ptr<std::uint32_t[]>[ most_chunks ]
  };
  std::uint32_t chunks_ = 0;
  std::uint32_t free_ = none;
  std::uint64_t in_use_ = 0;
};

/// Per-vCPU stock of objects, filled where allocation may fail and drawn from
/// where failing would be awkward; an empty cache is still an error that the
/// caller sees, never a crash. KVM: struct kvm_mmu_memory_cache. `Source` has
/// allocate() and `Ptr`.
template <typename Source, std::size_t Capacity>
class ObjectCache {
 public:
  using Ptr = typename Source::Ptr;
  static constexpr std::size_t capacity = Capacity;

  explicit ObjectCache(Source& source) : source_(&source) {}

  std::size_t size() const { return size_; }
  Source& source() const { return *source_; }

  /// Fill to capacity if fewer than `minimum` objects (at most capacity) are
  /// left. no_memory only if the minimum cannot be reached; what was allocated
  /// stays. KVM: __kvm_mmu_topup_memory_cache().
  Expected<void> topup(std::size_t minimum) {
    if (!needs_topup(size_, minimum)) return {};
    while (size_ < capacity) {
      if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
        steers->allocate(allocation_, schedule::Allocation::may_sleep);
      }
      auto object = source_->allocate();
      if (!object) {
        if (size_ >= minimum) break;
        return fail(object.error());
      }
      objects_[size_++] = std::move(*object);
    }
    return {};
  }

  /// One object, or no_memory if the cache is empty.
  Expected<Ptr> take() {
    if (size_ == 0) return fail(Error::no_memory);
    return std::move(objects_[--size_]);
  }

  /// Give everything back, as a shrinker would; how many there were.
  std::size_t empty() {
    const std::size_t had = size_;
    while (size_ != 0) objects_[--size_].reset();
    return had;
  }

 private:
  Source* source_;
  std::size_t size_ = 0;
  std::array<Ptr, Capacity> objects_{};
  schedule::Tag allocation_{"allocation"};
};

}  // namespace lockstep::impl
