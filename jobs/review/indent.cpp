// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/indent.h"

#include <algorithm>

#include "jobs/review/lines.h"

namespace lockstep::jobs::review {
namespace {

std::size_t tabs_of(std::string_view line) {
  return std::min(line.find_first_not_of('\t'), line.size());
}

/// Opened and not closed.
long open_parentheses(std::string_view line) {
  return std::ranges::count(line, '(') - std::ranges::count(line, ')');
}

/// if, else, for, while: one statement follows.
bool wants_statement(std::string_view text) {
  if (text.ends_with(';') || text.ends_with('{')) return false;
  if (text.ends_with("else")) return true;
  for (const std::string_view word :
       {"if (", "else if (", "} else if (", "for (", "while (", "list_for_each", "kvm_for_each"}) {
    if (text.starts_with(word)) return true;
  }
  return false;
}

/// Where the statement that ends at `end` begins: back over open parentheses.
std::size_t statement(const std::vector<std::string>& lines, std::size_t end) {
  long open = open_parentheses(lines[end]);
  while (open < 0 && end > 0) {
    --end;
    open += open_parentheses(lines[end]);
  }
  return end;
}

/// The last line before `end` that has text; `end` if there is none.
std::size_t last_text(const std::vector<std::string>& lines, std::size_t end) {
  for (auto at = end; at-- > 0;) {
    if (!trimmed(lines[at]).empty()) return at;
  }
  return end;
}

}  // namespace

std::string guess_indent(const std::vector<std::string>& before, std::string_view text) {
  auto last = last_text(before, before.size());
  if (last == before.size()) return "\t";
  const auto previous = trimmed(before[last]);
  std::size_t tabs = tabs_of(before[last]);
  if (text.starts_with('*') && (previous.starts_with("/*") || previous.starts_with('*'))) {
    return std::string(tabs, '\t') + " ";
  }
  if (open_parentheses(previous) > 0) return std::string(tabs + 2, '\t');
  last = statement(before, last);
  tabs = tabs_of(before[last]);
  const auto start = trimmed(before[last]);
  const auto before_that = last_text(before, last);
  if (previous.ends_with('{') || previous.ends_with(':')) {
    ++tabs;
  } else if (wants_statement(start)) {
    ++tabs;
  } else if (before_that != last && !previous.starts_with("/*") &&
             wants_statement(trimmed(before[statement(before, before_that)]))) {
    tabs = tabs_of(before[statement(before, before_that)]);
  }
  if (text.starts_with('}') && tabs > 0) --tabs;
  return std::string(tabs, '\t');
}

}  // namespace lockstep::jobs::review
