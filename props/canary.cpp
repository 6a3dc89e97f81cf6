// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/canary.h"

namespace lockstep::props {
namespace {

/// One lie among so many reads.
constexpr std::uint64_t period = 16;

}  // namespace

Result<Observation> CanaryEngine::execute(const Command& command) {
  auto observation = truth_->execute(command);
  lied_ = false;
  if (observation) lie(command, *observation);
  return observation;
}

Result<std::vector<ParallelAnswer>> CanaryEngine::execute_parallel(
    std::span<const ParallelCommand> commands) {
  auto answers = truth_->execute_parallel(commands);
  lied_ = false;
  for (std::size_t i = 0; answers && i < answers->size(); ++i) {
    lie(commands[i].command, (*answers)[i].observation);
  }
  return answers;
}

void CanaryEngine::lie(const Command& command, Observation& observation) {
  const auto* access = std::get_if<Access>(&command);
  if (access == nullptr || access->kind != AccessKind::read) return;
  auto* value = std::get_if<Value>(&observation);
  if (value == nullptr || ++reads_ % period != 0) return;
  value->value ^= 1;
  lied_ = true;
}

}  // namespace lockstep::props
