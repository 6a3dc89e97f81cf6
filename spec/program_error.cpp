// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>

#include "spec/program.h"
#include "spec/text_encoding.h"

namespace lockstep {

namespace {

/// Bytes of the quoted line around the error.
constexpr std::size_t excerpt = 64;

std::string_view line_of(std::string_view text, unsigned line) {
  for (unsigned i = 1; i < line; ++i) {
    const std::size_t newline = text.find('\n');
    if (newline == std::string_view::npos) return {};
    text.remove_prefix(newline + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  return text;
}

/// One column a byte where the line is printable; the caller counts the rest.
std::string shown(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    if (c == '"' || c == '\\') {
      out += c;
    } else if (c == '\t') {
      out += ' ';
    } else {
      spec::text::append_escaped(out, static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace

std::string ParseError::message(std::string_view file, std::string_view text) const {
  std::string out =
      fmt::format("{}:{}:{}: expected {}, found {}", file, line, column, expected, found);
  if (!suggestion.empty()) out += fmt::format("; did you mean `{}`?", suggestion);
  const std::string_view source = line_of(text, line);
  const std::size_t at = std::min<std::size_t>(column > 0 ? column - 1 : 0, source.size());
  const std::size_t from = at > excerpt / 2 ? at - excerpt / 2 : 0;
  const std::string left = (from > 0 ? "..." : "") + shown(source.substr(from, at - from));
  const std::string right = shown(source.substr(at, excerpt / 2));
  out += fmt::format("\n  {}{}{}\n  {}^", left, right,
                     at + excerpt / 2 < source.size() ? "..." : "", std::string(left.size(), ' '));
  return out;
}

}  // namespace lockstep
