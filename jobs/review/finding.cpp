// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/finding.h"

#include <fmt/format.h>

#include <charconv>

#include "jobs/review/lines.h"

namespace lockstep::jobs::review {

std::string_view name(ReviewFinding::Kind kind) {
  switch (kind) {
    case ReviewFinding::Kind::behaviour:
      return "behaviour";
    case ReviewFinding::Kind::difference:
      return "difference";
    case ReviewFinding::Kind::cost:
      return "cost";
    case ReviewFinding::Kind::schedule:
      return "schedule";
    case ReviewFinding::Kind::splat:
      break;
  }
  return "splat";
}

std::optional<unsigned> invariant_in(std::string_view text) {
  constexpr std::string_view mark = "invariant ";
  for (auto at = text.find(mark); at != std::string_view::npos; at = text.find(mark, at + 1)) {
    unsigned number = 0;
    const char* const begin = text.data() + at + mark.size();
    const auto read = std::from_chars(begin, text.data() + text.size(), number);
    if (read.ec == std::errc()) return number;
  }
  return std::nullopt;
}

namespace {

/// A program's text breaks long words of an engine into strings; a page need not.
std::string joined(std::string text) {
  constexpr std::string_view seam = "\" \"";
  for (auto at = text.find(seam); at != std::string::npos; at = text.find(seam, at)) {
    text.erase(at, seam.size());
  }
  return text;
}

}  // namespace

std::vector<std::string> sides_of(const ReviewFinding& finding) {
  std::vector<std::string> lines;
  for (const auto& side : finding.seen.sides) {
    if (side.engine == "spec") continue;
    lines.push_back(
        fmt::format("{} {:8} {}", side.odd ? ">>" : "  ", side.engine, joined(side.answer)));
  }
  std::string admitted;
  for (const auto& answer : finding.seen.admitted) {
    admitted += (admitted.empty() ? "" : " or ") + answer;
  }
  if (!admitted.empty()) lines.push_back(fmt::format("   {:8} {}", "spec", admitted));
  return lines;
}

}  // namespace lockstep::jobs::review
