// SPDX-License-Identifier: GPL-2.0-or-later
/// What looking at the time-stamp counter costs.
#pragma once

#include <x86intrin.h>

#include <algorithm>
#include <cstdint>

namespace lockstep::spec {

/// Ticks between two readings of the counter with nothing in between, at least.
inline std::uint64_t tick_cost() {
  static const std::uint64_t cost = [] {
    std::uint64_t least = ~0ull;
    for (unsigned i = 0; i < 1000; ++i) {
      const std::uint64_t begin = __rdtsc();
      least = std::min<std::uint64_t>(least, __rdtsc() - begin);
    }
    return least;
  }();
  return cost;
}

}  // namespace lockstep::spec
