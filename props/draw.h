// SPDX-License-Identifier: GPL-2.0-or-later
/// Cheap seeded choices. RapidCheck's Random is a cipher: it seeds a program
/// once, and the many choices inside come from here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

namespace lockstep::props {

/// Next output of splitmix64 (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators").
constexpr std::uint64_t splitmix(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e37'79b9'7f4a'7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebull;
  return z ^ (z >> 31);
}

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}

  std::uint64_t word() { return splitmix(state_); }
  /// In [0, bound); bound > 0. The bias of the modulus does not matter here.
  unsigned below(std::size_t bound) { return static_cast<unsigned>((word() >> 16) % bound); }
  /// In [low, high].
  unsigned between(unsigned low, unsigned high) { return low + below(high - low + 1); }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <typename T>
  const T& of(const std::initializer_list<T>& values) {
    return *(values.begin() + below(values.size()));
  }
  template <typename Container>
  auto& of(Container& values) {
    return values[below(values.size())];
  }
  /// Index drawn by weight; the weights' sum must not be 0.
  unsigned weighted(std::span<const unsigned> weights) {
    unsigned sum = 0;
    for (const auto weight : weights) sum += weight;
    auto rest = below(sum);
    unsigned index = 0;
    while (rest >= weights[index]) rest -= weights[index++];
    return index;
  }

 private:
  std::uint64_t state_;
};

}  // namespace lockstep::props
