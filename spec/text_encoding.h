// SPDX-License-Identifier: GPL-2.0-or-later
/// Bytes that program text may consist of, and how other bytes are shown.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep::spec::text {

struct BadByte {
  std::size_t offset = 0;  ///< bytes from the start of the text
  std::string_view why;    ///< "a NUL byte", "a control character", ...
};

/// First place that is not text: a control character (tab, line feed, and
/// carriage return before line feed excepted) or malformed UTF-8 (overlong
/// forms, surrogates and code points above U+10FFFF included).
std::optional<BadByte> find_bad_byte(std::string_view text);

/// Printable ASCII for any bytes: backslash and double quote escaped, line feed
/// and tab as \n and \t, any other byte outside 0x20-0x7e as \xNN.
void append_escaped(std::string& out, unsigned char byte);
std::string escaped(std::string_view bytes);

}  // namespace lockstep::spec::text
