// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>

namespace lockstep::cli {
namespace {

std::size_t columns() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

bool watched() {
  static const bool answer = [] {
    const char* kind = std::getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
  }();
  return answer;
}

void ProgressLine::show(std::string_view text) {
  if (!watched()) return;
  // A line that wraps cannot be rewritten.
  fmt::print(stderr, "\r\x1b[K{}", text.substr(0, columns() - 1));
  shown_ = true;
}

void ProgressLine::clear() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
  shown_ = false;
}

std::string red(std::string_view text) {
  const char* plain = std::getenv("NO_COLOR");
  if (!watched() || (plain != nullptr && *plain != '\0')) return std::string(text);
  return fmt::format("\x1b[31m{}\x1b[0m", text);
}

}  // namespace lockstep::cli
