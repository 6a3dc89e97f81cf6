// SPDX-License-Identifier: GPL-2.0-or-later
/// One engine of a run with its judge and what was seen of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "props/model.h"
#include "props/reach.h"
#include "props/spec_engine.h"
#include "spec/engine.h"

namespace lockstep::props {

struct Participant {
  std::unique_ptr<Engine> engine;
  /// The same engine, if it is the model drawing: then it judges itself.
  SpecEngine* drawing = nullptr;
  std::unique_ptr<Model> model;
  bool runs = false;  ///< takes part in the current program
  bool open = false;  ///< begun, not yet ended
  /// What it showed in the current program, one a lowered step.
  std::vector<Observation> shown;
  /// When, for those in parallel blocks: see ParallelAnswer.
  struct Ticks {
    std::uint64_t began = 0;
    std::uint64_t ended = 0;
  };
  std::vector<Ticks> when;

  /// What it showed at the steps [first, end), a block.
  std::vector<ParallelAnswer> answers(std::size_t first, std::size_t end) const {
    std::vector<ParallelAnswer> all;
    for (std::size_t i = first; i < end; ++i) {
      all.push_back({shown[i], when[i].began, when[i].ended});
    }
    return all;
  }
  spec::Judgement judgement;
  Reach reach;
  Drawn drawn;
  std::array<std::uint64_t, spec::looseness_count> looseness{};
};

}  // namespace lockstep::props
