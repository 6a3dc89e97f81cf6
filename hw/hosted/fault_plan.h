// SPDX-License-Identifier: GPL-2.0-or-later
/// Which allocations of a hosted kernel fail.
#pragma once

#include <array>
#include <cstdint>

#include "hw/hosted/boundary.h"

namespace lockstep::hw::hosted {

/// A plan counts every site that may fail, in the order in which the kernel
/// reaches them; the same program reaches the same sites.
class FaultPlan {
 public:
  /// Nothing fails.
  FaultPlan() = default;
  /// The site with this number fails, counted from 0; all later ones succeed.
  static FaultPlan nth(std::uint64_t number) {
    FaultPlan plan;
    plan.wanted_ = number;
    return plan;
  }
  /// Each site fails with probability 1 in `one_in`; replays by seed.
  static FaultPlan random(std::uint64_t seed, std::uint32_t one_in) {
    FaultPlan plan;
    plan.random_ = seed | 1;
    plan.one_in_ = one_in;
    return plan;
  }

  /// Whether the site that was just reached fails.
  bool fails(unsigned kind) {
    const std::uint64_t number = sites_++;
    if (kind < by_kind_.size()) ++by_kind_[kind];
    bool failed = number == wanted_;
    if (one_in_ != 0) {
      random_ ^= random_ << 13;
      random_ ^= random_ >> 7;
      random_ ^= random_ << 17;
      failed = random_ % one_in_ == 0;
    }
    failed_ += failed ? 1 : 0;
    user_pages_failed_ += failed && kind == HOSTED_USER_PAGE ? 1 : 0;
    return failed;
  }

  /// Fail nothing more; the counts stay as they are, and go on.
  void stop() {
    wanted_ = never;
    one_in_ = 0;
  }

  std::uint64_t sites() const { return sites_; }
  std::uint64_t failed() const { return failed_; }
  /// Of those, pages of the user's that get_user_pages() did not give.
  std::uint64_t user_pages_failed() const { return user_pages_failed_; }
  /// Sites of one enum hosted_allocation.
  std::uint64_t sites(hosted_allocation kind) const { return by_kind_[kind]; }

 private:
  static constexpr std::uint64_t never = ~0ull;
  std::uint64_t wanted_ = never;
  std::uint64_t random_ = 0;
  std::uint32_t one_in_ = 0;
  std::uint64_t sites_ = 0;
  std::uint64_t failed_ = 0;
  std::uint64_t user_pages_failed_ = 0;
  std::array<std::uint64_t, HOSTED_USER_PAGE + 1> by_kind_{};
};

}  // namespace lockstep::hw::hosted
