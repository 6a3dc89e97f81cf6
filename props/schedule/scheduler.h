// SPDX-License-Identifier: GPL-2.0-or-later
/// Who runs next: the only interface between a run and those that steer it.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

#include "props/schedule/clock.h"

namespace lockstep::props::schedule {

/// What a thread is about to do. Names are the words of schedules as text.
enum class StepKind : std::uint8_t {
  start,
  lock,
  lock_shared,
  try_lock,
  unlock,
  load,
  store,
  update,
  allocate,
  enter,
  leave,
  synchronize,
  grace,  ///< synchronize() has asked, and waits
  prepare,
  wait,
  wake,
  yield
};

struct Step {
  StepKind kind = StepKind::start;
  std::uint32_t object = 0;  ///< index within the run; 0: none
  bool operator==(const Step&) const = default;
};

/// Two steps that nobody can tell the order of. Yields depend on everything: a
/// thread that yields waits for others.
constexpr bool independent(const Step& a, const Step& b) {
  if (a.kind == StepKind::yield || b.kind == StepKind::yield) return false;
  if (a.object != b.object || a.object == 0) return true;
  return (a.kind == StepKind::load && b.kind == StepKind::load) ||
         (a.kind == StepKind::lock_shared && b.kind == StepKind::lock_shared);
}

struct Choice {
  std::span<const Step> next;  ///< a step for each thread
  std::uint32_t enabled = 0;   ///< threads that can take it, a bit each; never 0
  std::uint32_t ended = 0;     ///< threads that are over
  unsigned current = 0;        ///< who ran last; none yet: main_thread

  bool over(unsigned thread) const { return (ended >> thread & 1) != 0; }
  bool can(unsigned thread) const { return (enabled >> thread & 1) != 0; }
  /// Somebody else than `current` may only run instead of it.
  bool preempts(unsigned thread) const {
    return thread != current && can(current) && next[current].kind != StepKind::yield;
  }
  /// Where nobody is preempted: `current`, else the first.
  unsigned lazy() const {
    return can(current) ? current : static_cast<unsigned>(std::countr_zero(enabled));
  }
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;

  /// Answer of choose(): this run shows nothing that another one does not.
  static constexpr unsigned stop = ~0u;

  /// Another run begins; false if there is none left.
  virtual bool begin() = 0;
  /// Who takes the next step. Asked at every step, also if one can run only.
  virtual unsigned choose(const Choice& choice) = 0;
};

}  // namespace lockstep::props::schedule
