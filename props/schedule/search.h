// SPDX-License-Identifier: GPL-2.0-or-later
/// Looking for a failure of a system, and making it small.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <tl/expected.hpp>

#include "props/schedule/random.h"
#include "props/schedule/saved.h"

namespace lockstep::props::schedule {

/// What was run.
struct Tally {
  std::uint64_t schedules = 0;
  std::uint64_t programs = 0;
  double seconds = 0;        ///< CPU time of the thread
  std::uint64_t audits = 0;  ///< runs that were compared elsewhere (SearchLimits::audit)
  std::string broken = {};   ///< why the last one could not be, which ended the search
};

/// What a run that shares nothing with another one ends with instead; none if it is the same.
/// An error is why that is not known: it says nothing about the system.
using Audit = tl::expected<std::optional<Failure>, std::string>;

struct SearchLimits {
  std::uint64_t schedules = ~0ull;
  double seconds = 5;  ///< CPU time
  const std::atomic<bool>* stop = nullptr;
  /// Asked of every so many schedules of the tally; empty: not asked.
  std::function<Audit(const Threads&, const Outcome&)> audit = {};
  std::uint64_t audit_every = 1000;
};

struct Found {
  Saved saved;
  Failure failure;
  unsigned preemptions = 0;
  /// The same order gave another run: the system depends on something else.
  bool unsteady = false;
};

/// Random programs, each under random walks and PCT, until one fails.
std::optional<Found> search(Runner& runner, const System& system, unsigned defect,
                            std::uint64_t seed, const SearchLimits& limits, Tally& tally);

/// Fewer threads, fewer commands, fewer preemptions, as long as same_bug() is left: what
/// remains is searched with ever more preemptions. Ends after
/// so many seconds of CPU time with what it has.
Found shrink(Runner& runner, Found found, Tally& tally, double seconds = 60);

/// All schedules of a program, of at most so many preemptions; without, all.
/// Complete unless `most` schedules were not enough.
struct Covered {
  std::optional<Found> found;
  bool complete = false;
};
Covered exhaust(Runner& runner, const System& system, unsigned defect, const Threads& threads,
                std::optional<unsigned> preemptions, std::uint64_t most, Tally& tally);

/// Every program of so many threads and commands each, of numbers that tell
/// something (Verb::telling), up to the order of threads, with exhaust(). Calls visit(threads)
/// before each; false ends it.
Covered exhaust_all(Runner& runner, const System& system, unsigned defect, unsigned threads,
                    unsigned commands, unsigned preemptions, Tally& tally,
                    const std::function<bool(const Threads&)>& visit = {});

}  // namespace lockstep::props::schedule
