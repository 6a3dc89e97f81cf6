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

std::size_t SpecEngine::choose(std::span<const Observation> outcomes) {
  if (preferred_) {
    const auto found = std::find(outcomes.begin(), outcomes.end(), *preferred_);
    preferred_.reset();
    return found == outcomes.end() ? 0 : static_cast<std::size_t>(found - outcomes.begin());
  }
  return splitmix(draw_) % outcomes.size();
}

Result<Observation> SpecEngine::execute(const Command& command) {
  const bool plain = !preferred_ && splitmix(draw_) % 4 != 0;
  auto taken = plain ? model_->take_plain(command)
                     : model_->take(command, [this](std::span<const Observation> outcomes) {
                         return choose(outcomes);
                       });
  judgement_ = std::move(taken.judgement);
  return std::move(taken.observation);
}

Result<Observation> SpecEngine::end() { return Observation{Done{}}; }

}  // namespace lockstep::props
