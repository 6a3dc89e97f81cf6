// SPDX-License-Identifier: GPL-2.0-or-later
/// Lines of a report that goes into a mail.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::jobs {

/// Text broken at spaces into lines of at most `width` columns, `indent` before
/// each; a longer word stays whole. Lines that are there stay lines.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t width = 72);

/// The count and the word, which takes an s unless there is one.
std::string plural(std::size_t count, std::string_view word);

}  // namespace lockstep::jobs
