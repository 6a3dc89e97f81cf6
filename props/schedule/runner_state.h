// SPDX-License-Identifier: GPL-2.0-or-later
/// What a run keeps of its threads and of the objects that they announce.
#pragma once

#include "props/schedule/runner.h"

namespace lockstep::props::schedule {

struct Runner::Object {
  const char* name = nullptr;
  std::uint32_t number = 0;
  static constexpr unsigned nobody = ~0u;
  unsigned owner = nobody;    ///< exclusive holder of a lock
  std::uint32_t readers = 0;  ///< shared holders, a bit a thread
  std::uint32_t wakes = 0;
  bool alive = false;
  bool dead = false;
  std::uint32_t sections = 0;  ///< serial number of the last section of readers
  std::array<std::uint32_t, most_threads + 1> section{};  ///< open ones; 0: none
  Clock released;                                         ///< by unlock, release store, leave, wake
  // Last access of each thread.
  Clock reads, writes, marked_reads, marked_writes;

  void reset(const Tag& tag) {
    *this = Object{};
    name = tag.name;
    number = tag.number;
  }
};

struct Runner::Held {
  std::uint32_t object;
  LockKind kind;
  Hold hold;
};

struct Runner::Thread {
  Runner* run = nullptr;
  unsigned id = 0;
  std::unique_ptr<Fiber> fiber;
  Clock clock;
  std::vector<Held> held;
  std::vector<std::uint32_t> sections;  ///< domains of open sections, nested ones again
  unsigned atomic = 0;                  ///< spinlocks held and sections of RCU
  std::uint32_t seen_wakes = 0;
  unsigned last_step = 0;                                   ///< of the run, that this thread took
  std::array<std::uint32_t, most_threads + 1> waits_for{};  ///< sections, by synchronize()
  bool started = false;
  bool done = true;

  void reset() {
    clock = {};
    held.clear();
    sections.clear();
    atomic = last_step = 0;
    started = done = false;
  }
};

}  // namespace lockstep::props::schedule
