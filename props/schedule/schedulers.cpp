// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/schedulers.h"

#include <algorithm>
#include <functional>

namespace lockstep::props::schedule {

namespace {

/// The n-th set bit.
unsigned nth(std::uint32_t bits, unsigned n) {
  for (; n != 0; --n) bits &= bits - 1;
  return static_cast<unsigned>(std::countr_zero(bits));
}

unsigned first(std::uint32_t bits) { return static_cast<unsigned>(std::countr_zero(bits)); }

}  // namespace

unsigned RandomWalk::choose(const Choice& choice) {
  const auto able = static_cast<unsigned>(std::popcount(choice.enabled));
  return able == 1 ? first(choice.enabled) : nth(choice.enabled, random_.below(able));
}

bool Pct::begin() {
  longest_ = std::max(longest_, steps_);
  steps_ = 0;
  lowest_ = 0;
  sections_ = {};
  for (unsigned i = 0; i < priority_.size(); ++i) {
    priority_[i] = static_cast<int>(i) + 1;
    std::swap(priority_[i], priority_[random_.below(i + 1)]);
  }
  changes_.clear();
  for (unsigned i = 1; i < depth_; ++i) changes_.push_back(random_.below(longest_));
  std::sort(changes_.begin(), changes_.end(), std::greater<>());
  return true;
}

unsigned Pct::choose(const Choice& choice) {
  const auto highest = [&] {
    unsigned best = first(choice.enabled);
    for (unsigned id = best + 1; id < choice.next.size(); ++id) {
      if (choice.can(id) && priority_[id] > priority_[best]) best = id;
    }
    return best;
  };
  const auto counts = [&](unsigned thread) {
    return where_ == Where::anywhere || sections_[thread] == deepest_;
  };
  unsigned chosen = highest();
  while (!changes_.empty() && changes_.back() <= steps_ && counts(chosen)) {
    changes_.pop_back();
    priority_[chosen] = --lowest_;
    chosen = highest();
  }
  // Who yields asks for others.
  if (choice.next[chosen].kind == StepKind::yield) priority_[chosen] = --lowest_;
  if (counts(chosen)) ++steps_;
  if (const StepKind kind = choice.next[chosen].kind; kind == StepKind::enter) {
    deepest_ = std::max(deepest_, ++sections_[chosen]);
  } else if (kind == StepKind::leave && sections_[chosen] != 0) {
    --sections_[chosen];
  }
  return chosen;
}

bool Exhaustive::begin() {
  depth_ = 0;
  preemptions_ = 0;
  sleep_ = 0;
  if (!started_) return started_ = true;
  while (!path_.empty() && path_.back().todo == 0) path_.pop_back();
  if (path_.empty()) {
    complete_ = true;
    return false;
  }
  Node& node = path_.back();
  // Whatever runs before the step that was tried here repeats it.
  node.sleep |= 1u << node.taken;
  node.taken = first(node.todo);
  node.todo &= node.todo - 1;
  return true;
}

unsigned Exhaustive::choose(const Choice& choice) {
  if (depth_ == path_.size()) {
    Node node{.sleep = bound_ ? 0 : sleep_, .preemptions = preemptions_};
    std::uint32_t able = choice.enabled & ~node.sleep;
    if (able == 0) return stop;
    const unsigned lazy = choice.lazy();
    if (bound_ && choice.can(choice.current)) {
      const Step& next = choice.next[choice.current];
      const bool yields = next.kind == StepKind::yield;
      const bool spent = preemptions_ >= *bound_ && !yields;
      // Before a step that nobody can tell, or behind it: a preemption costs the
      // same.
      const bool local = next.object == 0 && !yields;
      if (spent || local) able = 1u << choice.current;
    }
    node.taken = (able >> lazy & 1) != 0 ? lazy : first(able);
    node.todo = able & ~(1u << node.taken);
    path_.push_back(node);
  }
  const Node& node = path_[depth_++];
  const unsigned taken = node.taken;
  if (choice.preempts(taken)) ++preemptions_;
  if (!bound_) {
    // Who sleeps wakes when a step is taken that its own depends on.
    sleep_ = 0;
    for (unsigned id = 0; id < choice.next.size(); ++id) {
      if ((node.sleep >> id & 1) != 0 && independent(choice.next[id], choice.next[taken])) {
        sleep_ |= 1u << id;
      }
    }
  }
  return taken;
}

unsigned Follow::choose(const Choice& choice) {
  const unsigned wanted = at_ < order_.size() ? order_[at_] : ~0u;
  ++at_;
  return wanted < choice.next.size() && choice.can(wanted) ? wanted : choice.lazy();
}

}  // namespace lockstep::props::schedule
