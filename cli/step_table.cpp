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

/// Width of a thread's column, with the gap behind it.
constexpr std::size_t column_width = 38;

/// The text in lines of a column, broken at spaces; what follows is indented.
void append_wrapped(std::vector<std::string>& lines, std::string text, const char* indent) {
  constexpr std::size_t width = column_width - 2;
  while (text.size() > width) {
    std::size_t at = text.rfind(' ', width);
    if (at == std::string::npos || text.find_first_not_of(' ') >= at) at = width;
    lines.push_back(text.substr(0, at));
    text = indent + text.substr(text[at] == ' ' ? at + 1 : at);
  }
  lines.push_back(std::move(text));
}

}  // namespace

std::string StepTable::block_lines(const props::StepTrace& trace) {
  const Step& step = program_.steps[trace.step];
  columns_.resize(std::max(columns_.size(), std::size_t{*step.thread} + 1));
  auto& column = columns_[*step.thread];
  append_wrapped(column, print(step.command, program_.configuration.paging), "    ");
  bool odd = false;
  const Observation* common = nullptr;
  bool agree = true;
  for (const auto& answer : trace.answers) {
    odd = odd || refused(answer) || undecided(answer);
    if (answer.observation == nullptr) continue;
    if (common == nullptr) common = answer.observation;
    agree = agree && *answer.observation == *common;
  }
  for (const auto& answer : trace.answers) {
    if (answer.observation == nullptr) continue;
    const bool wrong = unexpected(answer, step.expected);
    append_wrapped(column,
                   agree ? fmt::format("  -> {}", print(*answer.observation))
                         : fmt::format("  {}{} -> {}", wrong ? ">> " : "", answer.engine,
                                       print(*answer.observation)),
                   "     ");
    if (agree) break;
  }
  const bool last = trace.step + 1 == program_.steps.size() ||
                    !program_.steps[trace.step + 1].thread ||
                    *program_.steps[trace.step + 1].thread < *step.thread;
  if (!last) return {};
  std::size_t rows = 0;
  for (const auto& lines : columns_) rows = std::max(rows, lines.size());
  std::string text = fmt::format("{} {:>4}  parallel\n", odd ? ">>" : "  ", trace.step + 1);
  for (std::size_t row = 0; row < rows; ++row) {
    std::string line = "         ";
    for (const auto& lines : columns_) {
      line += fmt::format("{:<{}}", row < lines.size() ? lines[row] : "", column_width);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  for (const auto& answer : trace.answers) {
    if (refused(answer)) {
      text += fmt::format("   >>    {:<6} {}\n", answer.engine, answer.judgement->why);
    }
  }
  columns_.clear();
  return text;
}

std::string StepTable::lines(const props::StepTrace& trace) {
  const Step& step = program_.steps[trace.step];
  if (step.thread) return block_lines(trace);
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
