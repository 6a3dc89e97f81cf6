// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/program.h"
#include "spec/text_config.h"
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

void append_step(std::string& out, const Step& step, PagingMode mode) {
  append_lines(out, step.before);
  std::string command = print(step.command, mode);
  if (step.expected) {
    const std::string expected = "-> " + print(*step.expected);
    std::size_t column = command.size() + 1;
    if (column < arrow_column) column = arrow_column;
    if (column + expected.size() <= text::line_width) {
      command.append(column - command.size(), ' ');
      out += command;
      out += expected;
    } else {
      text::append_wrapped(out, command, text::line_break.size() - 4);
      out += text::line_break;
      text::append_wrapped(out, expected, 4);
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
  for (const auto& step : program.steps) append_step(out, step, program.configuration.paging);
  append_lines(out, program.trailer);
  return out;
}

}  // namespace lockstep
