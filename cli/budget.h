// SPDX-License-Identifier: GPL-2.0-or-later
/// Spans of time as the command line spells them: 60s, 5m, 8h.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace lockstep::cli {

/// A whole number with its unit: ms, s, m, h, or d; at least 1 ms, at most a
/// year. The error is one line.
tl::expected<std::chrono::milliseconds, std::string> parse_budget(std::string_view text);

}  // namespace lockstep::cli
