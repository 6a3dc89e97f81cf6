// SPDX-License-Identifier: GPL-2.0-or-later
/// An engine that lies: the failure that a run must be able to see.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "spec/engine.h"

namespace lockstep::props {

/// Forwards to another engine, and reports some read values off by one.
class CanaryEngine final : public Engine {
 public:
  explicit CanaryEngine(std::unique_ptr<Engine> truth) : truth_(std::move(truth)) {}

  std::string_view name() const override { return truth_->name(); }
  const Platform& platform() const override { return truth_->platform(); }
  Result<void> begin(const Configuration& configuration, bool fresh) override {
    lied_ = false;
    return truth_->begin(configuration, fresh);
  }
  Result<Observation> execute(const Command& command) override;
  Result<std::vector<ParallelAnswer>> execute_parallel(
      std::span<const ParallelCommand> commands) override;
  Result<Observation> end() override { return truth_->end(); }
  const std::map<std::string, std::uint64_t>& reached() const override { return truth_->reached(); }

  /// Whether the last observation was a lie.
  bool lied() const { return lied_; }

 private:
  /// Lie about the read, if it is time.
  void lie(const Command& command, Observation& observation);

  std::unique_ptr<Engine> truth_;
  std::uint64_t reads_ = 0;
  bool lied_ = false;
};

}  // namespace lockstep::props
