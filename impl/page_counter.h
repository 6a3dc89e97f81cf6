// SPDX-License-Identifier: GPL-2.0-or-later
/// Counts of shadow pages, held as charges that give themselves back.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace lockstep::impl {

class PageCharge;

/// Shadow pages in use against a soft limit (KVM: n_used_mmu_pages and
/// n_max_mmu_pages). Only a PageCharge moves the count, so that it can neither
/// go negative nor drift.
class PageCounter {
 public:
  explicit PageCounter(std::uint64_t limit) : limit_(limit) {}
  PageCounter(const PageCounter&) = delete;
  PageCounter& operator=(const PageCounter&) = delete;

  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  std::uint64_t limit() const { return limit_; }
  void set_limit(std::uint64_t limit) { limit_ = limit; }
  /// Pages that may still be charged before reclaim must run.
  std::uint64_t available() const {
    // Once: others charge meanwhile.
    const std::uint64_t now = used();
    return now < limit_ ? limit_ - now : 0;
  }
  /// Count one page for as long as the charge lives.
  PageCharge charge();

 private:
  friend class PageCharge;
  std::atomic<std::uint64_t> used_ = 0;
  std::uint64_t limit_;
};

/// One counted page. Must not outlive its counter.
class [[nodiscard]] PageCharge {
 public:
  PageCharge() = default;
  PageCharge(PageCharge&& other) noexcept : counter_(std::exchange(other.counter_, nullptr)) {}
  PageCharge& operator=(PageCharge&& other) noexcept {
    std::swap(counter_, other.counter_);
    return *this;
  }
  ~PageCharge() {
    if (counter_ != nullptr) --counter_->used_;
  }

 private:
  friend class PageCounter;
  explicit PageCharge(PageCounter& counter) : counter_(&counter) { ++counter.used_; }
  PageCounter* counter_ = nullptr;
};

inline PageCharge PageCounter::charge() { return PageCharge(*this); }

}  // namespace lockstep::impl
