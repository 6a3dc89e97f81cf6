// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <numeric>

#include "props/engine_factory.h"

namespace lockstep::props {
namespace {

/// Edits that turn one word into the other (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const auto replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

const std::vector<std::string_view>& engine_names() {
  static const std::vector<std::string_view> names = {"impl", "kvm", "spec"};
  return names;
}

std::optional<std::string> unknown_engine(std::string_view name) {
  const auto& names = engine_names();
  if (std::find(names.begin(), names.end(), name) != names.end()) return std::nullopt;
  const auto nearest = *std::min_element(
      names.begin(), names.end(),
      [&](auto a, auto b) { return distance(name, a) < distance(name, b); });
  auto message = fmt::format("unknown engine '{}'; valid: {}", name, fmt::join(names, ", "));
  if (distance(name, nearest) <= 2) message += fmt::format("; did you mean '{}'?", nearest);
  return message;
}

std::vector<std::string> fastest_first(std::vector<std::string> names) {
  const auto rank = [](const std::string& name) {
    return name == "impl" ? 0 : name == "spec" ? 1 : 2;
  };
  std::stable_sort(names.begin(), names.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return names;
}

}  // namespace lockstep::props
