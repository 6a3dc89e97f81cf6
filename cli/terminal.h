// SPDX-License-Identifier: GPL-2.0-or-later
/// Standard error when a person watches it: progress and colour, both only there.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::cli {

/// Whether standard error is a terminal that can rewrite a line.
bool watched();

/// One line that is rewritten in place; nothing at all unless watched().
class ProgressLine {
 public:
  ProgressLine() = default;
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { clear(); }

  void show(std::string_view text);
  void clear();

 private:
  bool shown_ = false;
};

/// The text in red where colours are wanted (not with NO_COLOR), else as it is.
std::string red(std::string_view text);

}  // namespace lockstep::cli
