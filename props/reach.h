// SPDX-License-Identifier: GPL-2.0-or-later
/// Which paths a run reached, counted by the checks themselves: a judged pair
/// of command and observation counts, a command alone does not.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "spec/command.h"
#include "spec/engine.h"
#include "spec/observation.h"

namespace lockstep::props {

class Reach {
 public:
  /// Count one admitted observation. Cheap: no allocation.
  void count(const Command& command, const Observation& observation);
  /// A parallel block was judged.
  void count_block();
  /// Path → count, without zeros.
  std::map<std::string, std::uint64_t> by_name() const;

 private:
  std::array<std::uint64_t, 40> counts_{};
};

/// What the programs drew that an engine has begun, so that a report can say how often each
/// was met: "drawn tdp" of "drawn programs".
class Drawn {
 public:
  void count(const Configuration& configuration, const Platform& platform);
  /// Choice → programs, without zeros; empty for engines that choose nothing.
  std::map<std::string, std::uint64_t> by_name() const;

 private:
  std::array<std::uint64_t, 8> counts_{};
};

/// What the checks counted, overruled by what the engine itself counted.
std::map<std::string, std::uint64_t> merged(const Reach& checks,
                                            const std::map<std::string, std::uint64_t>& engine);

}  // namespace lockstep::props
