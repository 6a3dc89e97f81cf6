// SPDX-License-Identifier: GPL-2.0-or-later
/// Work in a child process: a crash or a hang of an engine is an answer, not
/// the end of the command.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace lockstep::cli {

/// How the child ended and what it said before.
struct Ended {
  /// All that the child passed to its `say`.
  std::string said;
  /// The signal that killed it, or its exit status if that was not 0.
  std::optional<std::string> died;
  /// The deadline passed and the child was killed for it.
  bool hung = false;
};

/// Run `work` in a forked child; what it gives to `say` arrives in the parent.
/// The caller must have no threads. The error (no process, no pipe) is one line.
using Say = std::function<void(std::string_view)>;
tl::expected<Ended, std::string> isolated(const std::function<void(const Say& say)>& work,
                                          std::chrono::milliseconds deadline);

}  // namespace lockstep::cli
