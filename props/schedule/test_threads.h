// SPDX-License-Identifier: GPL-2.0-or-later
/// Tiny programs of threads, for tests of what runs them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "props/schedule/runner.h"

namespace lockstep::props::schedule {

/// Threads over a state that each run makes anew.
template <typename State>
class TestThreads final : public Body {
 public:
  using Thread = std::function<void(State&)>;
  explicit TestThreads(const std::vector<Thread>& threads) : code_(&threads) {}
  unsigned threads() const override { return static_cast<unsigned>(code_->size()); }
  void thread(unsigned id) override { (*code_)[id](state_); }
  void tear_down() override {
    if constexpr (requires(State & state) { state.tear_down(); }) state_.tear_down();
  }
  const char* broken() const override {
    if constexpr (requires(const State& state) { state.broken(); }) return state_.broken();
    return nullptr;
  }

 private:
  const std::vector<Thread>* code_;
  State state_;
};

/// Every schedule of the threads, or the failures of all that fail.
template <typename State>
struct AllSchedules {
  std::vector<Failure> failures = {};
  unsigned runs = 0;
  unsigned stopped = 0;

  AllSchedules(Runner& run, Scheduler& scheduler,
               const std::vector<std::function<void(State&)>>& threads) {
    while (scheduler.begin()) {
      const Outcome& outcome =
          run.execute(scheduler, [&] { return std::make_unique<TestThreads<State>>(threads); });
      ++runs;
      stopped += outcome.stopped ? 1 : 0;
      if (outcome.failure) failures.push_back(*outcome.failure);
    }
  }
  bool only(FailureKind kind) const {
    for (const auto& failure : failures) {
      if (failure.kind != kind) return false;
    }
    return !failures.empty();
  }
};

}  // namespace lockstep::props::schedule
