// SPDX-License-Identifier: GPL-2.0-or-later
/// A run that is told in stages: who goes on, and how far.
#pragma once

#include <string>
#include <vector>

#include "props/schedule/turns.h"

namespace lockstep::props::schedule {

/// The thread goes on until it is about to take the n-th step of the label since the
/// stage began; without a label, to its end.
struct Stage {
  unsigned thread = 0;
  std::string label;  ///< as Runner::label()
  unsigned nth = 1;
};

/// Stage after stage, then without preemption. A thread that cannot go on ends its
/// stage early.
class Stages final : public Scheduler {
 public:
  Stages(const Runner& runner, std::vector<Stage> stages)
      : runner_(&runner), stages_(std::move(stages)) {}
  bool begin() override {
    at_ = 0;
    seen_ = 0;
    return true;
  }
  unsigned choose(const Choice& choice) override;

 private:
  bool over(const Choice& choice, const Stage& stage) const;
  const Runner* runner_;
  std::vector<Stage> stages_;
  std::size_t at_ = 0;
  unsigned seen_ = 0;  ///< steps of the label in this stage
};

}  // namespace lockstep::props::schedule
