// SPDX-License-Identifier: GPL-2.0-or-later
/// A clock that interrupts KVM_RUN, so that an access which never returns is
/// seen instead of waited for.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <memory>

#include "spec/engine.h"

namespace lockstep::hw {

/// Sends a signal to one thread every `period_ms` while it is armed. KVM_RUN
/// then fails with EINTR and its caller compares ticks. Ticks are counted for
/// the whole process; two armed clocks only make both run faster.
class Watchdog {
 public:
  static constexpr long period_ms = 50;
  /// Ticks without an exit from the guest before an access is given up: 3 s.
  static constexpr unsigned patience = 60;

  /// Clock for the calling thread.
  static Result<Watchdog> create();
  Watchdog(Watchdog&& other) noexcept;
  Watchdog& operator=(Watchdog&& other) noexcept;
  ~Watchdog();

  void arm() { set(period_ms); }
  void disarm() { set(0); }
  /// True if the clock signals the calling thread.
  bool is_mine() const;
  static unsigned ticks();

 private:
  Watchdog() = default;
  void set(long milliseconds);

  timer_t timer_{};
  pid_t thread_ = 0;
};

}  // namespace lockstep::hw
