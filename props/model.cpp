// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/model.h"

namespace lockstep::props {
namespace {

class MachineModel final : public Model {
 public:
  MachineModel(const Configuration& configuration, const Platform& platform)
      : machine_(configuration, platform) {}

  spec::Judgement judge(const Command& command, const Observation& observation) override {
    return machine_.judge(command, observation);
  }
  spec::Judgement judge_block(std::span<const ParallelCommand> commands,
                              std::span<const ParallelAnswer> answers) override {
    return machine_.judge(commands, answers);
  }
  std::vector<Observation> admitted(const Command& command) const override {
    return machine_.admitted(command);
  }
  spec::Machine::Taken take(const Command& command, const spec::Machine::Choice& choose) override {
    return machine_.take(command, choose);
  }
  spec::Machine::Taken take_plain(const Command& command) override {
    return machine_.take_plain(command);
  }
  std::string explain(const Command& command) const override { return machine_.explain(command); }
  const std::array<std::uint64_t, spec::looseness_count>& looseness_used() const override {
    return machine_.looseness_used();
  }

 private:
  spec::Machine machine_;
};

}  // namespace

ModelFactory machine_models() {
  return [](const Configuration& configuration, const Platform& platform) {
    return std::make_unique<MachineModel>(configuration, platform);
  };
}

}  // namespace lockstep::props
