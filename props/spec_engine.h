// SPDX-License-Identifier: GPL-2.0-or-later
/// The engine `spec`: the model itself, drawing one admitted outcome a command.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "props/model.h"
#include "spec/engine.h"

namespace lockstep::props {

class SpecEngine final : public Engine {
 public:
  SpecEngine(std::uint64_t seed, ModelFactory models);

  std::string_view name() const override { return "spec"; }
  const Platform& platform() const override { return platform_; }
  Result<void> begin(const Configuration& configuration, bool fresh) override;
  /// The canonical outcome most of the time, else another admitted one.
  Result<Observation> execute(const Command& command) override;
  Result<Observation> end() override;
  const std::map<std::string, std::uint64_t>& reached() const override { return reached_; }

  /// Draw this outcome at the next command if the model admits it, else the
  /// canonical one: what a text demands is a choice, not a contradiction.
  void prefer(const Observation& observation) { preferred_ = observation; }

  /// What the model said of the last draw; a refusal is the model contradicting
  /// itself.
  const spec::Judgement& judgement() const { return judgement_; }

  /// Of the running program.
  const Model* model() const { return model_.get(); }

 private:
  /// Among several outcomes; the preferred one, if it is there.
  std::size_t choose(std::span<const Observation> outcomes);

  ModelFactory models_;
  Platform platform_;
  std::uint64_t seed_;
  std::uint64_t draw_;
  std::unique_ptr<Model> model_;
  std::optional<Observation> preferred_;
  spec::Judgement judgement_;
  std::map<std::string, std::uint64_t> reached_;
};

}  // namespace lockstep::props
