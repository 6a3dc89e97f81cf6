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
  spec::Judgement judgement;
  Reach reach;
  std::array<std::uint64_t, spec::looseness_count> looseness{};
};

}  // namespace lockstep::props
