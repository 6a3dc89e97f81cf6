// SPDX-License-Identifier: GPL-2.0-or-later
/// The judge of one engine, behind an interface: the driver is tested against
/// small models, and runs against spec::Machine.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "spec/kvm/machine.h"

namespace lockstep::props {

/// The members of spec::Machine that the driver uses; see there.
class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  virtual spec::Judgement judge(const Command& command, const Observation& observation) = 0;
  /// A parallel block, see spec::Machine::judge(). Models that know of none take the
  /// order of the text.
  virtual spec::Judgement judge_block(std::span<const ParallelCommand> commands,
                                      std::span<const ParallelAnswer> answers) {
    spec::Judgement judgement;
    for (std::size_t i = 0; i < commands.size(); ++i) {
      judgement = judge(commands[i].command, answers[i].observation);
      if (judgement.kind != spec::Judgement::Kind::admitted) break;
    }
    return judgement;
  }
  virtual std::vector<Observation> admitted(const Command& command) const = 0;
  virtual spec::Machine::Taken take(const Command& command, const spec::Machine::Choice& choose) {
    auto outcomes = admitted(command);
    if (outcomes.empty()) {
      constexpr const char* why = "the model admits no outcome at all";
      return {Unexpected{why}, {spec::Judgement::Kind::undecided, why}};
    }
    Observation chosen = std::move(outcomes[choose(outcomes)]);
    auto judgement = judge(command, chosen);
    return {std::move(chosen), std::move(judgement)};
  }
  /// See spec::Machine.
  virtual spec::Machine::Taken take_plain(const Command& command) {
    return take(command, [](std::span<const Observation>) { return std::size_t{0}; });
  }
  virtual std::string explain(const Command& command) const = 0;
  virtual const std::array<std::uint64_t, spec::looseness_count>& looseness_used() const = 0;
};

/// Makes the judge of an engine on that platform. Must not fail.
using ModelFactory = std::function<std::unique_ptr<Model>(const Configuration&, const Platform&)>;

/// The factory of real judges: each a spec::Machine.
ModelFactory machine_models();

}  // namespace lockstep::props
