// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>

#include "spec/program.h"
#include "spec/text_config.h"
#include "spec/text_host.h"
#include "spec/text_wrap.h"

namespace lockstep {

namespace {

namespace text = spec::text;

/// Column of the arrow where the command leaves room: fixed, so that a changed
/// command changes no other line.
constexpr std::size_t arrow_column = 32;

void append_lines(std::string& out, const std::vector<std::string>& lines) {
  for (const auto& line : lines) {
    out += line;
    out += '\n';
  }
}

/// The braces of parallel blocks that stand between two steps, and the comments of
/// the second: those of a block's first command stand before the block.
void append_braces(std::string& out, const Step* before, const Step* after) {
  const auto thread = [](const Step* step) {
    return step != nullptr ? step->thread : std::optional<unsigned>();
  };
  const auto from = thread(before);
  const auto to = thread(after);
  const bool same = from == to;
  const bool next = !same && from && to && *to > *from;
  if (next) out += "} {\n";
  if (!same && !next && from) out += "}\n";
  if (after != nullptr) append_lines(out, after->before);
  if (same || next || !to) return;
  out += "par ";
  if (after->schedule != 0) out += fmt::format("schedule={} ", after->schedule);
  out += "{\n";
}

void append_step(std::string& out, const Step& step, PagingMode mode) {
  std::string command = print(step.command, mode);
  if (step.expected) {
    const std::string expected = "-> " + print(*step.expected);
    const std::size_t column = std::max(command.size() + 1, arrow_column);
    if (column + expected.size() <= text::line_width) {
      command.append(column - command.size(), ' ');
      out += command;
      out += expected;
    } else if (command.size() <= text::broken_width) {
      out += command;
      out += text::line_break;
      text::append_wrapped(out, expected, text::indent);
    } else {
      text::append_wrapped(out, command + ' ' + expected);
    }
  } else {
    text::append_wrapped(out, command);
  }
  if (!step.behind.empty()) {
    out += "  ";
    out += step.behind;
  }
  out += '\n';
}

}  // namespace

std::string print(const Program& program) {
  std::string out = "lockstep 1\n";
  text::append_title(out, program.title);
  append_lines(out, program.header);
  text::print_config(out, program.configuration);
  text::print_host(out, program.configuration.host);
  const Step* before = nullptr;
  for (const auto& step : program.steps) {
    append_braces(out, before, &step);
    append_step(out, step, program.configuration.paging);
    before = &step;
  }
  append_braces(out, before, nullptr);
  append_lines(out, program.trailer);
  return out;
}

}  // namespace lockstep
