// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/finding.h"

#include <fmt/format.h>
#include <algorithm>

namespace lockstep::props {

std::string_view name(FindingKind kind) {
  constexpr std::string_view names[] = {"refused",    "expectation", "teardown", "livelock",
                                        "unexpected", "crash",       "hang"};
  return names[static_cast<unsigned>(kind)];
}

std::string Finding::key() const {
  return fmt::format("{}|{}|{}|{}", engine, name(kind), command_kind, title);
}

std::string side_by_side(const Finding& finding) {
  std::size_t width = 5;
  for (const auto& side : finding.sides) width = std::max(width, side.engine.size());
  std::string text;
  if (!finding.command.empty()) {
    text += fmt::format("at {}\n", finding.command);
  }
  for (const auto& side : finding.sides) {
    text += fmt::format("{} {:<{}}  {}\n", side.odd ? ">>" : "  ", side.engine, width, side.answer);
  }
  if (!finding.admitted.empty()) {
    text += fmt::format("   {:<{}}  {}\n", "model", width, finding.admitted.front());
    for (std::size_t i = 1; i < finding.admitted.size() && i < 8; ++i) {
      text += fmt::format("   {:<{}}  or {}\n", "", width, finding.admitted[i]);
    }
    if (finding.admitted.size() > 8) {
      text += fmt::format("   {:<{}}  or one of {} more\n", "", width, finding.admitted.size() - 8);
    }
  }
  if (!finding.detail.empty()) text += finding.detail + "\n";
  if (!finding.walk.empty()) text += finding.walk + "\n";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace lockstep::props
