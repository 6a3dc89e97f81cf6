// SPDX-License-Identifier: GPL-2.0-or-later
/// Those who steer a run.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "props/schedule/random.h"
#include "props/schedule/scheduler.h"

namespace lockstep::props::schedule {

/// Any thread that can run, each with the same chance.
class RandomWalk final : public Scheduler {
 public:
  explicit RandomWalk(std::uint64_t seed) : random_(seed) {}
  bool begin() override { return true; }
  unsigned choose(const Choice& choice) override;

 private:
  Random random_;
};

/// The thread of highest priority, and `depth` - 1 times it becomes the lowest:
/// finds a bug of that depth in k steps of n threads with a chance of at least
/// 1 / (n k^(depth - 1)) a run. Burckhardt et al., A Randomized Scheduler with
/// Probabilistic Guarantees of Finding Bugs, ASPLOS 2010.
class Pct final : public Scheduler {
 public:
  /// Where priorities change: at any step, or only where the thread is in a section of
  /// readers as deep as sections were ever nested. Who stands still there while the others
  /// go on shows what did not wait for it, with few places to choose from.
  enum class Where : std::uint8_t { anywhere, among_readers };
  Pct(std::uint64_t seed, unsigned depth, Where where = Where::anywhere)
      : random_(seed), depth_(depth), where_(where), longest_(where == Where::anywhere ? 8 : 2) {}
  bool begin() override;
  unsigned choose(const Choice& choice) override;

 private:
  Random random_;
  unsigned depth_;
  Where where_;
  unsigned longest_;    ///< steps_ of any run, at least
  unsigned steps_ = 0;  ///< of this run, where priorities may change
  std::array<unsigned, most_threads> sections_{};
  unsigned deepest_ = 1;
  std::array<int, most_threads> priority_{};
  std::vector<unsigned> changes_;  ///< steps, descending
  int lowest_ = 0;
};

/// All schedules. With a bound, all of at most so many preemptions; without,
/// sleep sets leave out runs that differ by the order of independent steps
/// only: they keep every reachable state, so that invariants stay checked at
/// each. (Under a bound they would not: the equal run may need a preemption
/// more.) Godefroid, Partial-Order Methods, 1996.
class Exhaustive final : public Scheduler {
 public:
  explicit Exhaustive(std::optional<unsigned> preemptions = {}) : bound_(preemptions) {}
  bool begin() override;
  unsigned choose(const Choice& choice) override;
  /// No schedule was left out but for the bound.
  bool complete() const { return complete_; }

 private:
  struct Node {
    std::uint32_t todo = 0;   ///< threads still to be tried here
    std::uint32_t sleep = 0;  ///< threads whose step was seen in an equal run
    unsigned taken = 0;
    unsigned preemptions = 0;  ///< before this choice
  };
  std::optional<unsigned> bound_;
  std::vector<Node> path_;
  std::size_t depth_ = 0;
  unsigned preemptions_ = 0;
  std::uint32_t sleep_ = 0;
  bool started_ = false;
  bool complete_ = false;
};

/// The same order again: Outcome::order. Goes on without preemption behind its
/// end, and where a step cannot be taken.
class Follow final : public Scheduler {
 public:
  explicit Follow(std::vector<std::uint8_t> order) : order_(std::move(order)) {}
  bool begin() override {
    at_ = 0;
    return true;
  }
  unsigned choose(const Choice& choice) override;

 private:
  std::vector<std::uint8_t> order_;
  std::size_t at_ = 0;
};

}  // namespace lockstep::props::schedule
