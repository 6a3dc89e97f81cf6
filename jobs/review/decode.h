// SPDX-License-Identifier: GPL-2.0-or-later
/// Encodings of mail. Wrong input never fails: what is no code stays as it is.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::jobs::review {

/// RFC 2045, section "Quoted-Printable".
std::string decode_quoted_printable(std::string_view text);

/// RFC 2045, section "Base64". Characters outside of the alphabet are skipped.
std::string decode_base64(std::string_view text);

/// Encoded words ("=?UTF-8?Q?...?=") of a header, RFC 2047, as UTF-8.
std::string decode_words(std::string_view header);

/// UTF-8 of a text in this charset: ISO-8859-1 and Windows-1252 (as Latin-1) are
/// converted, every other one is taken for UTF-8.
std::string to_utf8(std::string text, std::string_view charset);

}  // namespace lockstep::jobs::review
