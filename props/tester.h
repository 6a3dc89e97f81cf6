// SPDX-License-Identifier: GPL-2.0-or-later
/// Programs run in a child process that may die: for replay, shrinking and
/// confirmation.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "props/child.h"
#include "props/engine_factory.h"
#include "props/lockstep.h"

namespace lockstep::props {

struct TesterSetup {
  std::vector<std::string> engines;
  EngineFactory factory;
  ModelFactory models;
  std::uint64_t seed = 1;
  /// Of each program.
  std::chrono::milliseconds deadline{5'000};
  /// Called in the child: what it prints to stdout is seen, what it stores is
  /// lost. May be empty.
  StepWatcher watch;
};

class Tester {
 public:
  explicit Tester(TesterSetup setup) : setup_(std::move(setup)) {}

  /// Run one program on fresh VMs. A crash or a hang is a finding; an engine
  /// that cannot open or breaks makes `no_verdict`.
  Outcome run(const Program& program);

  /// Run programs one after the other, the first on fresh VMs, up to the first
  /// that does not pass or skip. Outcome of the last one run.
  Outcome run(std::span<const Program> programs);

  /// How many programs of the last sequence were run.
  std::size_t ran() const { return ran_; }
  const std::vector<std::string>& engines() const { return setup_.engines; }

 private:
  bool start(Outcome& outcome);
  TesterSetup setup_;
  SharedObject<Position> position_;
  std::optional<Child> child_;
  std::size_t ran_ = 0;
};

}  // namespace lockstep::props
