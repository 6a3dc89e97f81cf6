// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/turns.h"

#include <algorithm>

namespace lockstep::props::schedule {

unsigned Place::count(unsigned thread, const std::string& label) const {
  const auto found = std::find_if(counts_.begin(), counts_.end(), [&](const auto& one) {
    return one.first.first == thread && one.first.second == label;
  });
  return found == counts_.end() ? 0 : found->second;
}

Turn Place::at(const Choice& choice) const {
  if (choice.current == main_thread) return {.thread = main_thread, .label = "begin"};
  if (choice.over(choice.current)) return {.thread = choice.current, .label = "end"};
  std::string label = runner_->label(choice.next[choice.current]);
  const unsigned occurrence = count(choice.current, label) + 1;
  return {.thread = choice.current, .label = std::move(label), .occurrence = occurrence};
}

void Place::take(const Choice& choice, unsigned thread) {
  const auto key = std::pair(thread, runner_->label(choice.next[thread]));
  const auto found = std::find_if(counts_.begin(), counts_.end(),
                                  [&](const auto& one) { return one.first == key; });
  if (found == counts_.end()) {
    counts_.emplace_back(key, 1);
  } else {
    ++found->second;
  }
}

unsigned Replay::choose(const Choice& choice) {
  unsigned chosen = choice.lazy();
  if (next_ < turns_.size()) {
    const Turn& turn = turns_[next_];
    Turn here = place_.at(choice);
    here.run = turn.run;
    if (here == turn && turn.run < choice.next.size() && choice.can(turn.run)) {
      chosen = turn.run;
      ++next_;
    }
  }
  place_.take(choice, chosen);
  return chosen;
}

unsigned Recorder::choose(const Choice& choice) {
  const unsigned chosen = inner_->choose(choice);
  if (chosen == stop) return stop;
  if (chosen != choice.lazy()) {
    Turn turn = place_.at(choice);
    turn.run = chosen;
    turns_.push_back(std::move(turn));
  }
  place_.take(choice, chosen);
  return chosen;
}

}  // namespace lockstep::props::schedule
