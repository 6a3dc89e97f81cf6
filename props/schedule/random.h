// SPDX-License-Identifier: GPL-2.0-or-later
/// Random numbers that are the same on every machine.
#pragma once

#include <cstdint>

namespace lockstep::props::schedule {

/// SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e37'79b9'7f4a'7c15;
    z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11eb;
    return z ^ (z >> 31);
  }
  /// From 0 to end - 1; end is not 0.
  unsigned below(unsigned end) { return static_cast<unsigned>(((next() >> 32) * end) >> 32); }

 private:
  std::uint64_t state_;
};

}  // namespace lockstep::props::schedule
