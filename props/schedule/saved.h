// SPDX-License-Identifier: GPL-2.0-or-later
/// A program of threads with its schedule, as text that survives a mail.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "props/schedule/failure.h"
#include "props/schedule/system.h"
#include "props/schedule/turns.h"

namespace lockstep::props::schedule {

struct Saved {
  std::vector<std::string> comments = {};  ///< without "# "
  const System* system = nullptr;
  unsigned defect = no_defect;
  Threads threads = {};
  std::vector<Turn> turns = {};
  /// What the run must end with; none: nothing is wrong.
  std::optional<FailureKind> expect = {};
};

/// First line of every such file.
inline constexpr std::string_view saved_header = "lockstep-schedule 1";

/// At most 72 columns, as long as names are not longer than that.
std::string print(const Saved& saved);
/// The inverse; "line 3: ..." otherwise. The system is one of those given.
tl::expected<Saved, std::string> parse_saved(std::string_view text,
                                             std::span<const System> among = systems());
/// The engine that the system runs on, by its line; empty without one.
std::string_view saved_engine(std::string_view text);

/// What a replay came to.
struct Replayed {
  Outcome outcome;
  /// A turn whose place did not come, or whose thread could not run: the code
  /// has changed since.
  std::optional<Turn> missed;
};
Replayed replay(Runner& runner, const Saved& saved, bool trace);

/// "at 0 lock cache-lock.0 #2 run 1".
std::string print(const Turn& turn);

/// The trace, a column for each thread; `width` columns of text in all. A
/// thread that takes over from one that could go on is marked with ">".
std::string columns(const Outcome& outcome, unsigned threads, unsigned width = 72);

}  // namespace lockstep::props::schedule
