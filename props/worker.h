// SPDX-License-Identifier: GPL-2.0-or-later
/// The child of a campaign that runs cases: what it is told, what it tells.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "props/cases.h"
#include "props/child.h"
#include "props/engine_factory.h"
#include "props/generator.h"
#include "props/lockstep.h"

namespace lockstep::props {

/// Shared with the parent, so that it survives the worker.
struct WorkerState {
  /// Case that runs, or ran last.
  std::atomic<std::uint64_t> index{0};
  /// steady_clock of its start, in nanoseconds; 0 between cases.
  std::atomic<std::int64_t> started{0};
  /// First case of the history since the last fresh VM.
  std::atomic<std::uint64_t> fresh{0};
  std::atomic<std::uint64_t> cases{0};
  /// Over all engines.
  std::atomic<std::uint64_t> commands{0};
  /// Index of the engine that opens, or opened last.
  std::atomic<std::uint32_t> opening{0};
  /// Programs of which every allocation was made to fail.
  std::atomic<std::uint64_t> programs{0};
  std::atomic<bool> stop{false};
  Position position;
};

struct WorkerOrders {
  std::vector<std::string> engines;
  EngineFactory factory;
  ModelFactory models;
  std::uint64_t seed = 1;
  Cases cases = Cases::any;
  /// Cases first, first + stride, ... below `last`.
  std::uint64_t first = 0;
  std::uint64_t stride = 1;
  std::uint64_t last = ~0ull;
  std::chrono::steady_clock::time_point until;
  /// A new VM after so many cases: bounds the history of a failure.
  unsigned fresh_every = 256;
  /// See CampaignOptions.
  std::function<bool(const Program&)> wanted;
  /// Engines lie, and the worker ends with the first lie that is found.
  bool canary = false;
};

/// The program of one case, and which engines run it.
struct Case {
  Program program;
  std::uint64_t mask = ~0ull;
};

/// How cases are made: by every worker, and by the parent of a dead one.
class CaseMaker {
 public:
  CaseMaker(std::vector<std::string> engines, std::span<const Platform> platforms,
            std::uint64_t seed, Cases cases = Cases::any);
  Case make(std::uint64_t index) const;
  /// Engines of a case without its program.
  std::uint64_t mask(std::uint64_t index) const;
  /// First case of the next program, once an allocation was beyond the last of
  /// this one.
  static std::uint64_t next_program(std::uint64_t index) {
    return (index / allocations + 1) * allocations;
  }

 private:
  /// More than a program makes.
  static constexpr std::uint64_t allocations = 4096;

  std::uint64_t seed_;
  Cases cases_;
  GeneratorOptions all_;
  GeneratorOptions quick_;
  std::uint64_t quick_mask_;
};

/// The body of the child. Messages are JSON objects with one of the keys
/// `broken` (text, with `engine`: who gave up), `platforms`, `finding` (with `index` and `fresh`),
/// `tally` (cumulative, an object an engine), `bye`.
void work(Channel& channel, WorkerState& state, const WorkerOrders& orders);

}  // namespace lockstep::props
