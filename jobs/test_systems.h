// SPDX-License-Identifier: GPL-2.0-or-later
/// Of the tests: systems whose threads go wrong where one was preempted.
#pragma once

#include <fmt/format.h>

#include <unistd.h>
#include <array>
#include <csignal>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "jobs/open_systems.h"

namespace lockstep::jobs::test {

namespace schedule = props::schedule;

/// Called in the middle of a run, where another thread has come between; `runs` counts
/// those of this process in which that happened, from 1.
using Wrong = std::function<void(schedule::Runner& runner, unsigned runs)>;

/// How long runs are.
struct Length {
  unsigned steps = 1;   ///< of a command
  unsigned before = 0;  ///< so often has another thread come between before that is wrong
};

class Body final : public schedule::SystemBody {
 public:
  Body(const schedule::System& system, schedule::Runner& runner, unsigned defect,
       const schedule::Threads& threads, const Wrong& wrong, const Length& length)
      : SystemBody(system, runner, defect, threads), wrong_(wrong), length_(length) {
    if (length.steps > 1) runner.limit(schedule::most_steps);
  }

 protected:
  void command(schedule::Command) override {
    for (unsigned step = 0; step < length_.steps; ++step) {
      const int before = value_;
      runner().atomic(tag_, lockstep::schedule::Access::update, std::memory_order_relaxed);
      if (value_ != before && seen_++ == length_.before) {
        static unsigned runs = 0;
        wrong_(runner(), ++runs);
      }
      ++value_;
    }
  }

 private:
  const Wrong& wrong_;
  Length length_;
  lockstep::schedule::Tag tag_{"value"};
  int value_ = 0;
  unsigned seen_ = 0;
};

/// One system a name.
inline OpenSystems open(std::vector<std::pair<std::string_view, Wrong>> all, Length length = {}) {
  struct Owner {
    std::vector<std::pair<std::string_view, Wrong>> all;
    std::array<schedule::Verb, 1> verbs{schedule::Verb{.name = "add", .end = 2}};
    std::vector<schedule::System> systems;
  };
  return [all, length]() -> tl::expected<OpenedSystems, std::string> {
    const auto owner = std::make_shared<Owner>();
    owner->all = all;
    owner->systems.resize(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      schedule::System& system = owner->systems[i];
      system.name = owner->all[i].first;
      system.title = "a counter";
      system.property = "nobody comes between";
      system.verbs = owner->verbs;
      system.make = [&system, &wrong = owner->all[i].second, length](
                        schedule::Runner& runner, unsigned defect,
                        const schedule::Threads& threads) {
        return std::make_unique<Body>(system, runner, defect, threads, wrong, length);
      };
    }
    return OpenedSystems{.owner = owner, .systems = owner->systems};
  };
}

inline void fine(schedule::Runner&, unsigned) {}
inline void crash(schedule::Runner&, unsigned) {
  // Sanitizers must not turn it into something else.
  (void)std::signal(SIGSEGV, SIG_DFL);
  (void)std::raise(SIGSEGV);
}
inline void spin(schedule::Runner&, unsigned) {
  for (;;) asm volatile("");
}
inline void sleep(schedule::Runner&, unsigned) {
  for (;;) ::pause();
}
inline void killed(schedule::Runner&, unsigned) { (void)std::raise(SIGKILL); }
inline void warn(schedule::Runner& runner, unsigned) {
  runner.report(schedule::FailureKind::warning, "somebody came between");
}

}  // namespace lockstep::jobs::test
