// SPDX-License-Identifier: GPL-2.0-or-later
/// What lets one source text run on numbers and on a solver's terms.
///
/// A rule that a theorem speaks of is a template over a word W: uint64_t when it
/// runs, smt::Word when it is proved. Conditions on a symbolic word have no
/// truth value, so that such a rule chooses with ite() and never branches on
/// them. No rule stands here, so that spec/ and impl/ can each state theirs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace lockstep {

/// What comparing two W gives: bool, or smt::Bool.
template <typename W>
using BoolOf = decltype(std::declval<const W&>() == std::declval<const W&>());

/// One of two values. Both are evaluated, whatever the condition is.
template <typename T>
constexpr T ite(bool condition, T then, std::type_identity_t<T> otherwise) {
  return condition ? then : otherwise;
}

/// array[index]. The index must be in range.
template <typename T, std::size_t n>
constexpr T select(const std::array<T, n>& array, std::uint64_t index) {
  return array[index];
}

/// Bits high:low of a word, both included, counted from 0 and below 64; none if
/// high < low.
template <typename W>
constexpr W bit_range(W high, W low) {
  const W none = 0;
  return ite(high < low, none, (~none >> (W(63) - high)) & (~none << low));
}

}  // namespace lockstep
