// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/step_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace lockstep::cli {
namespace {

using Kind = spec::Judgement::Kind;

bool refused(const props::Answer& answer) {
  return answer.judgement != nullptr && answer.judgement->kind == Kind::refused;
}

bool undecided(const props::Answer& answer) {
  return answer.judgement != nullptr && answer.judgement->kind == Kind::undecided;
}

bool unexpected(const props::Answer& answer, const std::optional<Observation>& expected) {
  return expected && answer.observation != nullptr && *answer.observation != *expected;
}

}  // namespace

std::string StepTable::lines(const props::StepTrace& trace) {
  const Step& step = program_.steps[trace.step];
  const bool sugar =
      std::holds_alternative<Map>(step.command) || std::holds_alternative<AliasTable>(step.command);
  // What a sugared step demands holds for the last of its commands only.
  const auto& expected = sugar ? std::nullopt : step.expected;

  const Observation* common = nullptr;
  bool agree = true;
  bool plain = true;
  for (const auto& answer : trace.answers) {
    if (answer.observation == nullptr) continue;
    if (common == nullptr) common = answer.observation;
    agree = agree && *answer.observation == *common;
    plain = plain && !refused(answer) && !undecided(answer) && !unexpected(answer, expected);
  }
  const bool again = last_ == trace.step;
  last_ = trace.step;
  if (again && agree && plain) return {};

  const auto command = print(again ? *trace.command : step.command, program_.configuration.paging);
  if (agree && plain) {
    const auto answer = common == nullptr ? "(no engine)" : print(*common);
    return fmt::format("   {:>4}  {:<36} -> {}\n", trace.step + 1, command, answer);
  }
  std::string lines = fmt::format("{} {:>4}  {}\n", plain ? "  " : ">>", trace.step + 1, command);
  for (const auto& answer : trace.answers) {
    const bool odd = refused(answer) || unexpected(answer, expected);
    const auto shown =
        answer.observation == nullptr ? std::string("(did not run)") : print(*answer.observation);
    lines += fmt::format("   {}    {:<6} {}{}\n", odd ? ">>" : "  ", answer.engine, shown,
                         undecided(answer) ? "  (undecided)" : "");
  }
  if (expected && !plain) lines += fmt::format("         {:<6} {}\n", "text", print(*expected));
  return lines;
}

}  // namespace lockstep::cli
