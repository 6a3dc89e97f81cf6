// SPDX-License-Identifier: GPL-2.0-or-later
/// Vector clocks: what happens before what.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace lockstep::props::schedule {

/// Threads of a run, without the one that sets up and takes down.
inline constexpr unsigned most_threads = 7;
/// Clock component of the latter.
inline constexpr unsigned main_thread = most_threads;

/// The step of each thread that is known to have happened.
struct Clock {
  std::array<std::uint32_t, most_threads + 1> at{};

  void join(const Clock& other) {
    for (unsigned i = 0; i < at.size(); ++i) at[i] = std::max(at[i], other.at[i]);
  }
  /// A thread of which `other` knows more; none: ~0.
  unsigned behind(const Clock& other) const {
    for (unsigned i = 0; i < at.size(); ++i) {
      if (other.at[i] > at[i]) return i;
    }
    return ~0u;
  }
};

}  // namespace lockstep::props::schedule
