// SPDX-License-Identifier: GPL-2.0-or-later
/// vCPUs that walk tables without any lock, and who must wait for them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <thread>

#include "spec/vocabulary/schedule_point.h"

namespace lockstep::impl {

/// A table that was unlinked may be reused once every vCPU has been seen outside
/// a walk: later walks cannot find it. KVM: READING_SHADOW_PAGE_TABLES, RCU.
class Walkers {
 public:
  static constexpr std::size_t most = 64;

  /// A walk by the vCPU with this number lasts as long as the guard.
  class Walk {
   public:
    Walk(Walkers& walkers, std::size_t vcpu) : flag_(&walkers.flags_[vcpu % most].walking) {
      schedule::announce(walkers.tag_, schedule::Access::update);
      flag_->store(true, std::memory_order_relaxed);
      // SPTEs are read relaxed: only a fence orders that behind the flag, as wait() has one
      // between what was unlinked and the flags.
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;
    ~Walk() { flag_->store(false, std::memory_order_release); }

   private:
    std::atomic<bool>* flag_;
  };

  /// Return when every walk that goes on now has ended.
  void wait() const {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (const Flag& flag : flags_) {
      while (flag.walking.load(std::memory_order_acquire)) pause();
    }
  }

 private:
  static void pause() {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]]
      return steers->yield();
    std::this_thread::yield();
  }
  struct alignas(64) Flag {
    std::atomic<bool> walking = false;
  };
  std::array<Flag, most> flags_{};
  schedule::Tag tag_{"walkers"};
};

}  // namespace lockstep::impl
