// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/decode.h"

#include <cstdint>
#include <optional>

#include "jobs/review/lines.h"

namespace lockstep::jobs::review {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

/// "=41" at the position; none if it is no code.
std::optional<char> code_at(std::string_view text, std::size_t at) {
  if (at + 2 >= text.size() || text[at] != '=') return std::nullopt;
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

/// Length of a soft line break ("=" and blanks before the newline); 0 if it is none.
std::size_t soft_break(std::string_view text, std::size_t at) {
  auto end = at + 1;
  while (end < text.size() && (text[end] == ' ' || text[end] == '\t' || text[end] == '\r')) ++end;
  if (end < text.size() && text[end] != '\n') return 0;
  return std::min(end + 1, text.size()) - at;
}

/// "charset?Q?text" between "=?" and "?=".
std::optional<std::string> decode_word(std::string_view word) {
  const auto first = word.find('?');
  if (first == std::string_view::npos || first + 2 >= word.size() || word[first + 2] != '?') {
    return std::nullopt;
  }
  const auto charset = word.substr(0, first);
  const char encoding = word[first + 1];
  auto text = word.substr(first + 3);
  if (encoding == 'B' || encoding == 'b') return to_utf8(decode_base64(text), charset);
  if (encoding != 'Q' && encoding != 'q') return std::nullopt;
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (const auto code = code_at(text, i)) {
      plain += *code;
      i += 2;
    } else {
      plain += text[i] == '_' ? ' ' : text[i];
    }
  }
  return to_utf8(std::move(plain), charset);
}

}  // namespace

std::string decode_quoted_printable(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (const auto code = code_at(text, i)) {
      plain += *code;
      i += 2;
      continue;
    }
    const auto skipped = text[i] == '=' ? soft_break(text, i) : 0;
    if (skipped != 0) {
      i += skipped - 1;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::string decode_base64(std::string_view text) {
  std::string plain;
  plain.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    const int digit = base64_digit(c);
    if (digit < 0) continue;
    bits = (bits << 6 | static_cast<std::uint32_t>(digit)) & 0xff'ffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    plain += static_cast<char>(bits >> count & 0xff);
  }
  return plain;
}

std::string decode_words(std::string_view header) {
  std::string plain;
  bool after_word = false;
  while (!header.empty()) {
    const auto begin = header.find("=?");
    // The text begins after "charset?Q?"; a "?=" before that is none.
    const auto charset = begin == std::string_view::npos ? begin : header.find('?', begin + 2);
    const auto end = charset == std::string_view::npos ? charset : header.find("?=", charset + 3);
    const auto word = end == std::string_view::npos
                          ? std::nullopt
                          : decode_word(header.substr(begin + 2, end - begin - 2));
    if (!word) {
      const auto kept = begin == std::string_view::npos ? header.size() : begin + 2;
      plain += header.substr(0, kept);
      header.remove_prefix(kept);
      after_word = false;
      continue;
    }
    const auto between = header.substr(0, begin);
    // Blanks between two words only separate them.
    if (!after_word || !trimmed(between).empty()) plain += between;
    plain += *word;
    header.remove_prefix(end + 2);
    after_word = true;
  }
  return plain;
}

std::string to_utf8(std::string text, std::string_view charset) {
  const auto name = lower(charset);
  if (name != "iso-8859-1" && name != "windows-1252" && name != "latin1") return text;
  std::string converted;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      converted += c;
    } else {
      converted += static_cast<char>(0xc0 | byte >> 6);
      converted += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return converted;
}

}  // namespace lockstep::jobs::review
