// SPDX-License-Identifier: GPL-2.0-or-later
/// Locks of the MMU: one for readers and writers, whose holders are types, and
/// one that may be absent and then cannot be dereferenced.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

namespace lockstep::impl {

/// A lock that its data may not have: caches that nobody shares. There is no way
/// to reach the mutex but through guard(), which takes it if there is one, so
/// neither a null lock nor an inverted test can be written.
class OptionalLock {
 public:
  OptionalLock() = default;
  explicit OptionalLock(std::mutex& mutex) : mutex_(&mutex) {}
  [[nodiscard]] std::unique_lock<std::mutex> guard() const {
    return mutex_ == nullptr ? std::unique_lock<std::mutex>() : std::unique_lock(*mutex_);
  }
  bool present() const { return mutex_ != nullptr; }

 private:
  std::mutex* mutex_ = nullptr;
};

/// KVM: mmu_lock, an rwlock_t. Writers wait for readers; spins, then yields.
class MmuLock {
 public:
  void lock() {
    for (unsigned spins = 0;; ++spins) {
      std::int32_t idle = 0;
      if (state_.compare_exchange_weak(idle, writer, std::memory_order_acquire)) return;
      wait(spins);
    }
  }
  void unlock() { state_.store(0, std::memory_order_release); }
  void lock_shared() {
    for (unsigned spins = 0;; ++spins) {
      std::int32_t readers = state_.load(std::memory_order_relaxed);
      if (readers >= 0 && waiting_.load(std::memory_order_relaxed) == 0 &&
          state_.compare_exchange_weak(readers, readers + 1, std::memory_order_acquire)) {
        return;
      }
      wait(spins);
    }
  }
  void unlock_shared() { state_.fetch_sub(1, std::memory_order_release); }
  /// Somebody wants what the caller holds. KVM: rwlock_needbreak().
  bool contended() const { return waiting_.load(std::memory_order_relaxed) != 0; }

 private:
  void wait(unsigned spins) {
    waiting_.fetch_add(1, std::memory_order_relaxed);
    if (spins > 64) std::this_thread::yield();
    waiting_.fetch_sub(1, std::memory_order_relaxed);
  }
  static constexpr std::int32_t writer = -1;
  std::atomic<std::int32_t> state_{0};
  std::atomic<std::int32_t> waiting_{0};
};

}  // namespace lockstep::impl
