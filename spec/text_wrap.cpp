// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_wrap.h"

namespace lockstep::spec::text {

namespace {

/// End of the word at `from`: a space outside double quotes, or the end.
std::size_t word_end(std::string_view line, std::size_t from) {
  bool quoted = false;
  std::size_t i = from;
  for (; i < line.size(); ++i) {
    if (quoted && line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == ' ' && !quoted) {
      break;
    }
  }
  return i < line.size() ? i : line.size();
}

}  // namespace

void append_wrapped(std::string& out, std::string_view line, std::size_t column) {
  if (column + line.size() <= line_width) {
    out += line;
    return;
  }
  bool first = true;
  for (std::size_t from = 0; from < line.size();) {
    const std::size_t end = word_end(line, from);
    const std::string_view word = line.substr(from, end - from);
    if (!first) {
      if (column + 1 + word.size() > broken_width) {
        out += line_break;
        column = indent;
      } else {
        out += ' ';
        ++column;
      }
    }
    out += word;
    column += word.size();
    first = false;
    from = end + 1;
  }
}

void append_title(std::string& out, std::string_view title) {
  static constexpr std::string_view head = "title  ";
  constexpr std::size_t room = line_width - head.size();
  const auto blank = [&title](std::size_t i) { return title[i] == ' ' || title[i] == '\t'; };
  while (!title.empty()) {
    std::size_t cut = title.size();
    if (title.size() > room) {
      std::size_t last = 0;
      for (std::size_t i = 1; i + 1 < title.size(); ++i) {
        if (title[i] != ' ' || blank(i - 1) || blank(i + 1)) continue;
        if (i > room && last != 0) break;
        last = i;
        if (i > room) break;
      }
      if (last != 0) cut = last;
    }
    out += head;
    out += title.substr(0, cut);
    out += '\n';
    title.remove_prefix(cut == title.size() ? cut : cut + 1);
  }
}

}  // namespace lockstep::spec::text
