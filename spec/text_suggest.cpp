// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_suggest.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

namespace lockstep::spec::text {

namespace {

constexpr std::size_t longest = 32;

std::string lowered(std::string_view word) {
  std::string out(word.substr(0, longest));
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

unsigned edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, longest);
  b = b.substr(0, longest);
  std::array<std::array<unsigned, longest + 1>, longest + 1> cost{};
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = static_cast<unsigned>(i);
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = static_cast<unsigned>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const unsigned replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u);
      cost[i][j] = std::min({replace, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  std::string_view best;
  unsigned best_cost = ~0u;
  for (const std::string_view candidate : candidates) {
    // Wrong case costs nothing: a word in capitals is still that word.
    const unsigned cost = edit_distance(lowered(word), lowered(candidate));
    const auto bound = std::max<std::size_t>(1, std::max(word.size(), candidate.size()) / 3);
    if (cost <= bound && cost < best_cost && cost < candidate.size()) {
      best = candidate;
      best_cost = cost;
    }
  }
  return best;
}

}  // namespace lockstep::spec::text
