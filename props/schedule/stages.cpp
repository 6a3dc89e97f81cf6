// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/stages.h"

namespace lockstep::props::schedule {

bool Stages::over(const Choice& choice, const Stage& stage) const {
  if (stage.thread >= choice.next.size() || !choice.can(stage.thread)) return true;
  return !stage.label.empty() && runner_->label(choice.next[stage.thread]) == stage.label &&
         seen_ + 1 >= stage.nth;
}

unsigned Stages::choose(const Choice& choice) {
  while (at_ < stages_.size() && over(choice, stages_[at_])) {
    ++at_;
    seen_ = 0;
  }
  if (at_ == stages_.size()) return choice.lazy();
  const Stage& stage = stages_[at_];
  if (!stage.label.empty() && runner_->label(choice.next[stage.thread]) == stage.label) ++seen_;
  return stage.thread;
}

}  // namespace lockstep::props::schedule
