// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_encoding.h"

#include <cstdint>

namespace lockstep::spec::text {

namespace {

/// Bytes of the well-formed UTF-8 sequence at the start of `text`, 0 if none.
/// Unicode Standard, table "Well-Formed UTF-8 Byte Sequences".
std::size_t sequence_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  }
  if (length == 0 || text.size() < length) return 0;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
  }
  return length;
}

}  // namespace

std::optional<BadByte> find_bad_byte(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x80) {
      const std::size_t length = sequence_length(text.substr(i));
      if (length == 0) return BadByte{i, "a byte that is not UTF-8"};
      i += length;
      continue;
    }
    if (byte == 0) return BadByte{i, "a NUL byte"};
    if (byte == '\r' && (i + 1 == text.size() || text[i + 1] != '\n')) {
      return BadByte{i, "a carriage return without line feed"};
    }
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f) {
      return BadByte{i, "a control character"};
    }
    ++i;
  }
  return std::nullopt;
}

void append_escaped(std::string& out, unsigned char byte) {
  static constexpr std::string_view digits = "0123456789abcdef";
  switch (byte) {
    case '\\':
      out += "\\\\";
      return;
    case '"':
      out += "\\\"";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (byte >= 0x20 && byte < 0x7f) {
    out += static_cast<char>(byte);
    return;
  }
  out += "\\x";
  out += digits[byte >> 4];
  out += digits[byte & 0xfu];
}

std::string escaped(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) append_escaped(out, static_cast<unsigned char>(byte));
  return out;
}

}  // namespace lockstep::spec::text
