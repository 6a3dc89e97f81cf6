// SPDX-License-Identifier: GPL-2.0-or-later
/// Lines that survive mail.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::spec::text {

/// Columns of a line of canonical text, as long as its words allow.
inline constexpr std::size_t line_width = 72;
/// What a broken line ends with, and the next one begins with.
inline constexpr std::string_view line_break = " \\\n    ";
/// Columns of a broken line, which leave room for the backslash.
inline constexpr std::size_t broken_width = line_width - 2;
/// Columns that the line behind a break is indented by.
inline constexpr std::size_t indent = 4;

/// Append `line`, broken at spaces outside double quotes where it is too long.
/// `column` is where the appended text begins.
void append_wrapped(std::string& out, std::string_view line, std::size_t column = 0);

/// Append the title as `title` lines. Only single spaces break it, so that
/// joining the lines with a space gives it back.
void append_title(std::string& out, std::string_view title);

}  // namespace lockstep::spec::text
