// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/budget.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

namespace lockstep::cli {

tl::expected<std::chrono::milliseconds, std::string> parse_budget(std::string_view text) {
  using std::chrono::milliseconds;
  static constexpr std::array<std::pair<std::string_view, std::int64_t>, 5> units = {
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
  static constexpr std::int64_t year = 365 * std::int64_t{86'400'000};

  const auto wrong = [&] {
    return tl::unexpected(fmt::format(
        "'{}' is no span of time; write a number with ms, s, m, h or d: 60s, 8h", text));
  };
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || count < 1) return wrong();
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& [name, length] : units) {
    if (unit != name) continue;
    if (count > year / length) {
      return tl::unexpected(fmt::format("'{}' is longer than a year", text));
    }
    return milliseconds(count * length);
  }
  return wrong();
}

}  // namespace lockstep::cli
