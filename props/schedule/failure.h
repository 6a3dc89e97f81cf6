// SPDX-License-Identifier: GPL-2.0-or-later
/// What a run under a schedule can end with.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep::props::schedule {

enum class FailureKind : std::uint8_t {
  deadlock,         ///< every thread waits, or one for itself
  lock_order,       ///< two locks were taken in both orders
  sleep_in_atomic,  ///< something that may sleep, under a spinlock or RCU
  double_unlock,    ///< released, but not held
  foreign_unlock,   ///< released by another than the holder
  lock_kept,        ///< a thread ended with it
  use_after_free,   ///< used when freed, or nothing orders use and free
  double_free,
  leak,              ///< never freed
  unbalanced,        ///< a section of RCU or SRCU left or kept open
  lost_wakeup,       ///< sleeps for ever after a wake that came too early
  negative_counter,  ///< at any instant
  data_race,         ///< nothing orders two accesses, one of them a plain one
  null_dereference,
  warning,    ///< WARN_ON()
  invariant,  ///< a predicate over the system while no lock is held
  livelock,   ///< more steps than any run needs
  exception,  ///< the code under test threw
  crash,      ///< it took its process down; no Outcome tells so
  hang        ///< it gave control back to nobody; no Outcome tells so
};

inline constexpr std::array<std::string_view, 20> failure_names = {
    "deadlock",       "lock-order",       "sleep-in-atomic", "double-unlock",
    "foreign-unlock", "lock-kept",        "use-after-free",  "double-free",
    "leak",           "unbalanced",       "lost-wakeup",     "negative-counter",
    "data-race",      "null-dereference", "warning",         "invariant",
    "livelock",       "exception",        "crash",           "hang"};

constexpr std::string_view name(FailureKind kind) {
  return failure_names[static_cast<unsigned>(kind)];
}

struct Failure {
  FailureKind kind = FailureKind::invariant;
  /// One line; equal bugs have equal texts.
  std::string text;
  /// Who did it: a number from 0, or main_thread.
  unsigned thread = 0;
  bool operator==(const Failure&) const = default;
};

/// The text without what differs from run to run: numbers and addresses are "#", but for
/// lines of sources.
std::string gist(std::string_view text);

/// Whether the second one, of a smaller program, is the first one's bug: the same kind, and
/// texts of one gist. Threads that nobody lets run may be fewer.
bool same_bug(const Failure& one, const Failure& smaller);

}  // namespace lockstep::props::schedule
