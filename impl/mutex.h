// SPDX-License-Identifier: GPL-2.0-or-later
/// Mutexes that whoever controls schedules can steer (spec/vocabulary/schedule_point.h).
#pragma once

#include <mutex>

#include "spec/vocabulary/schedule_point.h"

namespace lockstep::impl {

/// `kind`: whether its holder may sleep. Meets Lockable.
template <schedule::LockKind kind>
class SteeredMutex {
 public:
  explicit SteeredMutex(const char* name) : tag_(name) {}
  SteeredMutex(const SteeredMutex&) = delete;
  SteeredMutex& operator=(const SteeredMutex&) = delete;

  void lock() {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
      return steers->lock(tag_, kind, schedule::Hold::exclusive);
    }
    mutex_.lock();
  }
  bool try_lock() {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
      return steers->try_lock(tag_, kind, schedule::Hold::exclusive);
    }
    return mutex_.try_lock();
  }
  void unlock() noexcept {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
      return steers->unlock(tag_, schedule::Hold::exclusive);
    }
    mutex_.unlock();
  }

 private:
  std::mutex mutex_;
  schedule::Tag tag_;
};
using Mutex = SteeredMutex<schedule::LockKind::mutex>;
using SpinLock = SteeredMutex<schedule::LockKind::spin>;

}  // namespace lockstep::impl
