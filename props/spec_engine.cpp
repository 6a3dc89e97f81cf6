// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/spec_engine.h"

#include <algorithm>
#include <utility>

#include "props/commit.h"
#include "props/draw.h"

namespace lockstep::props {
namespace {

Platform everything_there_is() {
  Platform platform;
  platform.features.set();
  platform.features.reset(static_cast<std::size_t>(Feature::smm));  // not modelled
  platform.features.reset(static_cast<std::size_t>(Feature::host_parameters));
  platform.max_vcpus = 8;
  platform.provenance = {{"model", std::string(lockstep_commit())}};
  return platform;
}

}  // namespace

SpecEngine::SpecEngine(std::uint64_t seed, ModelFactory models)
    : models_(std::move(models)), platform_(everything_there_is()), seed_(seed), draw_(seed) {}

Result<void> SpecEngine::begin(const Configuration& configuration, bool) {
  model_ = models_(configuration, platform_);
  // A program draws the same outcomes wherever it runs, or it could not be
  // replayed.
  draw_ = seed_;
  preferred_.reset();
  return {};
}

Result<Observation> SpecEngine::execute(const Command& command) {
  auto outcomes = model_->admitted(command);
  if (outcomes.empty()) {
    return tl::unexpected(EngineError{"the model admits no outcome at all"});
  }
  std::size_t chosen = 0;
  if (preferred_) {
    const auto found = std::find(outcomes.begin(), outcomes.end(), *preferred_);
    if (found != outcomes.end()) chosen = static_cast<std::size_t>(found - outcomes.begin());
    preferred_.reset();
  } else if (outcomes.size() > 1) {
    const auto draw = splitmix(draw_);
    if (draw % 4 == 0) chosen = (draw >> 8) % outcomes.size();
  }
  Observation observation = std::move(outcomes[chosen]);
  judgement_ = model_->judge(command, observation);
  return observation;
}

Result<Observation> SpecEngine::end() { return Observation{Done{}}; }

}  // namespace lockstep::props
