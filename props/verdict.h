// SPDX-License-Identifier: GPL-2.0-or-later
/// The four verdicts of every verb, and their exit codes.
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep::props {

enum class Verdict : std::uint8_t { pass, fail, input_error, no_verdict };

/// 0, 1, 2, 3 in the order of the enumeration.
constexpr int exit_code(Verdict verdict) { return static_cast<int>(verdict); }

/// Value of the JSON key `verdict`: "pass", "fail", "input-error", "no-verdict".
constexpr std::string_view name(Verdict verdict) {
  constexpr std::string_view names[] = {"pass", "fail", "input-error", "no-verdict"};
  return names[static_cast<unsigned>(verdict)];
}

/// First word of a report: "pass", "FAIL", "input error", "no verdict".
constexpr std::string_view headline(Verdict verdict) {
  constexpr std::string_view names[] = {"pass", "FAIL", "input error", "no verdict"};
  return names[static_cast<unsigned>(verdict)];
}

}  // namespace lockstep::props
