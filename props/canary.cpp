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
  const auto* access = std::get_if<Access>(&command);
  if (!observation || access == nullptr || access->kind != AccessKind::read) return observation;
  auto* value = std::get_if<Value>(&*observation);
  if (value == nullptr || ++reads_ % period != 0) return observation;
  value->value ^= 1;
  lied_ = true;
  return observation;
}

}  // namespace lockstep::props
