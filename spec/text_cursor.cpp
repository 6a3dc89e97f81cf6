// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_cursor.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "spec/text_encoding.h"
#include "spec/text_suggest.h"

namespace lockstep::spec::text {

namespace {

/// Bytes of a wrong token that an error quotes.
constexpr std::size_t longest_quote = 40;
/// Alternatives that an error lists; more are left to the suggestion.
constexpr std::size_t longest_list = 12;

constexpr std::array<bool, 256> make_word_bytes() {
  std::array<bool, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    table[c] = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '.' || c == '_' || c == '-';
  }
  return table;
}
constexpr std::array<bool, 256> word_bytes = make_word_bytes();

constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

constexpr int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

std::size_t token_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && !is_blank(text[length]) && text[length] != '\n' &&
         text[length] != '\r') {
    ++length;
  }
  return length;
}

}  // namespace

NumberFault parse_number(std::string_view word, std::uint64_t& out) {
  std::uint64_t base = 10;
  if (word.starts_with("0x")) {
    base = 16;
    word.remove_prefix(2);
  }
  if (word.empty()) return NumberFault::not_a_number;
  std::uint64_t value = 0;
  bool overflow = false;
  for (const char c : word) {
    const auto digit = static_cast<std::uint64_t>(digit_of(c));
    if (digit >= base) return NumberFault::not_a_number;
    overflow = overflow || value > (std::numeric_limits<std::uint64_t>::max() - digit) / base;
    value = value * base + digit;
  }
  if (overflow) return NumberFault::too_large;
  out = value;
  return NumberFault::none;
}

void Cursor::settle() {
  tried_count_ = 0;
  for (;;) {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
    if (at_ == text_.size() || text_[at_] != '\\') break;
    std::size_t end = at_ + 1;
    while (end < text_.size() && is_blank(text_[end])) ++end;
    if (end < text_.size() && text_[end] == '\r') ++end;
    if (end == text_.size() || text_[end] != '\n') break;
    at_ = line_start_ = end + 1;
    ++line_;
  }
  std::size_t end = at_;
  while (end < text_.size() && word_bytes[static_cast<unsigned char>(text_[end])] &&
         !(text_[end] == '-' && end + 1 < text_.size() && text_[end + 1] == '>')) {
    ++end;
  }
  word_ = text_.substr(at_, end - at_);
}

void Cursor::advance(std::size_t bytes) {
  at_ += bytes;
  settle();
}

void Cursor::next_line() {
  if (at_ < text_.size() && text_[at_] == '\r') ++at_;
  if (at_ < text_.size() && text_[at_] == '\n') {
    ++at_;
    ++line_;
    line_start_ = at_;
  }
  settle();
}

std::string_view Cursor::rest_of_line() {
  const std::size_t newline = std::min(text_.find('\n', at_), text_.size());
  std::string_view rest = text_.substr(at_, newline - at_);
  at_ = newline;
  if (!rest.empty() && rest.back() == '\r') {
    rest.remove_suffix(1);
    --at_;
  }
  while (!rest.empty() && is_blank(rest.back())) rest.remove_suffix(1);
  tried_count_ = 0;
  word_ = {};
  return rest;
}

bool Cursor::accept_line(std::string_view word, std::string_view& rest) {
  if (failed_) return false;
  if (word_ != word) {
    remember(word);
    return false;
  }
  at_ += word.size();
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  rest = rest_of_line();
  return true;
}

void Cursor::remember(std::string_view word) {
  if (tried_count_ < tried_.size()) tried_[tried_count_++] = word;
}

bool Cursor::accept(std::string_view word) {
  if (failed_) return false;
  if (word_ == word) {
    take_word();
    return true;
  }
  remember(word);
  return false;
}

bool Cursor::accept_symbol(std::string_view symbol) {
  if (failed_) return false;
  if (text_.substr(at_).starts_with(symbol)) {
    advance(symbol.size());
    return true;
  }
  remember(symbol);
  return false;
}

bool Cursor::expect_symbol(std::string_view symbol) {
  return accept_symbol(symbol) || fail(fmt::format("`{}`", symbol));
}

std::string_view Cursor::exception_word() const {
  if (!at_comment()) return {};
  std::size_t end = at_ + 1;
  while (end < text_.size() && word_bytes[static_cast<unsigned char>(text_[end])]) ++end;
  return end == at_ + 1 ? std::string_view{} : text_.substr(at_, end - at_);
}

bool Cursor::accept_exception(std::string_view word) {
  if (failed_) return false;
  if (exception_word() == word) {
    advance(word.size());
    return true;
  }
  remember(word);
  return false;
}

bool Cursor::number(std::uint64_t& out, std::string_view what, std::uint64_t most) {
  if (failed_) return false;
  std::uint64_t value = 0;
  switch (parse_number(word_, value)) {
    case NumberFault::not_a_number:
      return fail_listing(what);
    case NumberFault::too_large:
      return fail(fmt::format("{} of at most 0x{:x}", what, most));
    case NumberFault::none:
      break;
  }
  if (value > most) return fail(fmt::format("{} of at most 0x{:x}", what, most));
  out = value;
  take_word();
  return true;
}

bool Cursor::number(unsigned& out, std::string_view what, unsigned most) {
  std::uint64_t wide = 0;
  if (!number(wide, what, std::uint64_t{most})) return false;
  out = static_cast<unsigned>(wide);
  return true;
}

bool Cursor::quoted(std::string& out) {
  if (failed_) return false;
  if (at_end() || text_[at_] != '"') return fail("a string in double quotes");
  while (!at_end() && text_[at_] == '"') {
    std::size_t i = at_ + 1;
    for (;; ++i) {
      if (i >= text_.size() || text_[i] == '\n' || text_[i] == '\r') {
        return fail("a string that ends with `\"` on its line");
      }
      if (text_[i] == '"') break;
      if (text_[i] != '\\') {
        out += text_[i];
        continue;
      }
      const std::string_view escape = text_.substr(i + 1, 3);
      if (escape.starts_with('n')) {
        out += '\n';
      } else if (escape.starts_with('t')) {
        out += '\t';
      } else if (escape.starts_with('\\') || escape.starts_with('"')) {
        out += escape[0];
      } else if (escape.size() == 3 && escape[0] == 'x' && digit_of(escape[1]) < 16 &&
                 digit_of(escape[2]) < 16) {
        out += static_cast<char>(digit_of(escape[1]) * 16 + digit_of(escape[2]));
        i += 2;
      } else {
        advance(i - at_);
        return fail("one of the escapes `\\\\`, `\\\"`, `\\n`, `\\t`, `\\xNN`");
      }
      ++i;
    }
    advance(i + 1 - at_);
  }
  return true;
}

std::string Cursor::found() const {
  if (at_end()) return "the end of the text";
  if (at_line_end()) return "the end of the line";
  std::size_t length = word_.size();
  if (length == 0) length = token_length(text_.substr(at_));
  const bool clipped = length > longest_quote;
  return fmt::format("`{}{}`", escaped(text_.substr(at_, std::min(length, longest_quote))),
                     clipped ? "..." : "");
}

bool Cursor::fail(std::string expected) {
  if (failed_) return false;
  failed_ = true;
  error_.line = line_;
  error_.column = static_cast<unsigned>(at_ - line_start_ + 1);
  error_.expected = std::move(expected);
  error_.found = found();
  const std::string_view wrong = word_.empty() ? exception_word() : word_;
  if (!wrong.empty()) {
    error_.suggestion = nearest(wrong, std::span(tried_.data(), tried_count_));
  }
  return false;
}

bool Cursor::fail_listing(std::string_view what) {
  if (failed_) return false;
  std::string expected(what);
  if (tried_count_ > 0 && tried_count_ <= longest_list) {
    if (!what.empty()) expected += ": ";
    for (std::size_t i = 0; i < tried_count_; ++i) {
      if (i > 0) expected += i + 1 == tried_count_ ? " or " : ", ";
      expected += fmt::format("`{}`", tried_[i]);
    }
  }
  return fail(std::move(expected));
}

bool Options::seen(std::string_view word) const {
  return std::find(seen_.begin(), seen_.begin() + static_cast<std::ptrdiff_t>(count_), word) !=
         seen_.begin() + static_cast<std::ptrdiff_t>(count_);
}

bool Options::flag(std::string_view word) {
  if (cursor_.word() == word && seen(word)) {
    return cursor_.fail(fmt::format("`{}` only once", word));
  }
  if (!cursor_.accept(word)) return false;
  if (count_ < seen_.size()) seen_[count_++] = word;
  return true;
}

bool Options::key(std::string_view word) {
  if (!flag(word)) return false;
  return cursor_.expect_symbol("=");
}

}  // namespace lockstep::spec::text
