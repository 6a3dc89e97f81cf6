// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/death.h"

#include <fmt/format.h>

#include "props/command_kind.h"

namespace lockstep::props {
namespace {

constexpr std::string_view suspect = "spec suspect: ";

std::string_view plain(std::string_view title) {
  return title.starts_with(suspect) ? title.substr(suspect.size()) : title;
}

}  // namespace

Finding death(FindingKind kind, const Position& position, std::span<const std::string> engines,
              const Program& program, std::string_view how, std::string words) {
  Finding finding;
  finding.kind = kind;
  const auto who = position.engine.load(std::memory_order_relaxed);
  const bool judging = position.judging.load(std::memory_order_relaxed) != 0;
  const auto step = position.step.load(std::memory_order_relaxed);
  if (step < program.steps.size()) {
    const auto& command = program.steps[step].command;
    finding.step = step;
    finding.command_kind = std::string(command_kind(command));
    finding.command = print(command, program.configuration.paging);
  } else {
    finding.command_kind = "end";
  }
  for (std::size_t i = 0; i < engines.size(); ++i) {
    const bool odd = i == who && !judging;
    finding.sides.push_back({engines[i],
                             odd ? fmt::format("({})", how)
                                 : std::string(i < who || judging ? "(answered)" : "(did not run)"),
                             "", odd});
  }
  if (judging || who >= engines.size()) {
    finding.engine = "spec";
    finding.sides.push_back({"model", fmt::format("({})", how), "", true});
  } else {
    finding.engine = engines[who];
  }
  finding.title = kind == FindingKind::hang
                      ? fmt::format("{}: no answer before the deadline", finding.command_kind)
                      : fmt::format("{}: died by {}", finding.command_kind, how);
  finding.detail = std::move(words);
  return finding;
}

bool same_failure(const Finding& one, const Finding& other, bool any_engine) {
  return one.kind == other.kind && one.command_kind == other.command_kind &&
         plain(one.title) == plain(other.title) && (any_engine || one.engine == other.engine);
}

}  // namespace lockstep::props
