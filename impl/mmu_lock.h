// SPDX-License-Identifier: GPL-2.0-or-later
/// The lock of the MMU, for readers and writers. Every lock of this room is a
/// member of what it protects: none may be absent.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "impl/thread_line.h"
#include "spec/vocabulary/schedule_point.h"

namespace lockstep::impl {

/// KVM: mmu_lock, an rwlock_t. Readers write nothing that another reader does; a
/// writer keeps new ones out and waits for those that are in. Spins, then yields.
class MmuLock {
 public:
  void lock() {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
      return steers->lock(tag_, schedule::LockKind::spin, schedule::Hold::exclusive);
    }
    for (unsigned spins = 0;; ++spins) {
      bool idle = false;
      if (writer_.compare_exchange_weak(idle, true, std::memory_order_seq_cst)) break;
      wait(spins);
    }
    readers_.each([&](std::atomic<std::int32_t>& readers) {
      for (unsigned spins = 0; readers.load(std::memory_order_seq_cst) != 0; ++spins) wait(spins);
    });
  }
  void unlock() {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
      return steers->unlock(tag_, schedule::Hold::exclusive);
    }
    writer_.store(false, std::memory_order_release);
  }
  void lock_shared() {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
      return steers->lock(tag_, schedule::LockKind::spin, schedule::Hold::shared);
    }
    std::atomic<std::int32_t>& readers = readers_.mine();
    for (;;) {
      // Announced first, asked second: a writer does it the other way round.
      readers.fetch_add(1, std::memory_order_seq_cst);
      if (!writer_.load(std::memory_order_seq_cst)) return;
      readers.fetch_sub(1, std::memory_order_release);
      for (unsigned spins = 0; writer_.load(std::memory_order_relaxed); ++spins) wait(spins);
    }
  }
  void unlock_shared() {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
      return steers->unlock(tag_, schedule::Hold::shared);
    }
    readers_.mine().fetch_sub(1, std::memory_order_release);
  }
  /// Somebody wants what the caller holds. KVM: rwlock_needbreak().
  bool contended() const {
    // Under a schedule somebody may always want it.
    if (schedule::listener != nullptr) [[unlikely]]
      return true;
    return waiting_.load(std::memory_order_relaxed) != 0;
  }

 private:
  void wait(unsigned spins) {
    waiting_.fetch_add(1, std::memory_order_relaxed);
    if (spins > 64) std::this_thread::yield();
    waiting_.fetch_sub(1, std::memory_order_relaxed);
  }
  PerThread<std::atomic<std::int32_t>> readers_;
  alignas(64) std::atomic<bool> writer_{false};
  std::atomic<std::int32_t> waiting_{0};
  schedule::Tag tag_{"mmu-lock"};
};

}  // namespace lockstep::impl
