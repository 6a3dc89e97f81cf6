// SPDX-License-Identifier: GPL-2.0-or-later
/// Schedules as what deviates from running each thread as long as it can: names
/// of steps, which outlive changes of the code around them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "props/schedule/runner.h"
#include "props/schedule/scheduler.h"

namespace lockstep::props::schedule {

/// Instead of what Choice::lazy() gives, `run` goes on where `thread` is about to
/// take its n-th step of this label.
struct Turn {
  unsigned thread = 0;  ///< main_thread: nobody has run yet
  /// As Runner::label(); "end" when the thread is over.
  std::string label;
  unsigned occurrence = 1;
  unsigned run = 0;
  bool operator==(const Turn&) const = default;
};

/// Counts steps by label, to tell where a run stands.
class Place {
 public:
  explicit Place(const Runner& runner) : runner_(&runner) {}
  void begin() { counts_.clear(); }
  /// Where the last thread stands; `run` is left 0.
  Turn at(const Choice& choice) const;
  /// The thread takes its next step.
  void take(const Choice& choice, unsigned thread);

 private:
  unsigned count(unsigned thread, const std::string& label) const;
  const Runner* runner_;
  std::vector<std::pair<std::pair<unsigned, std::string>, unsigned>> counts_;
};

/// Does what the turns say, in their order.
class Replay final : public Scheduler {
 public:
  Replay(const Runner& runner, std::vector<Turn> turns)
      : place_(runner), turns_(std::move(turns)) {}
  bool begin() override {
    place_.begin();
    next_ = 0;
    return true;
  }
  unsigned choose(const Choice& choice) override;
  /// The first turn that was not taken; none if all were.
  const Turn* missed() const { return next_ < turns_.size() ? &turns_[next_] : nullptr; }

 private:
  Place place_;
  std::vector<Turn> turns_;
  std::size_t next_ = 0;
};

/// Lets another scheduler choose and writes down the turns.
class Recorder final : public Scheduler {
 public:
  Recorder(const Runner& runner, Scheduler& inner) : place_(runner), inner_(&inner) {}
  bool begin() override {
    place_.begin();
    turns_.clear();
    return inner_->begin();
  }
  unsigned choose(const Choice& choice) override;
  const std::vector<Turn>& turns() const { return turns_; }

 private:
  Place place_;
  Scheduler* inner_;
  std::vector<Turn> turns_;
};

}  // namespace lockstep::props::schedule
