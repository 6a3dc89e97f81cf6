// SPDX-License-Identifier: GPL-2.0-or-later
/// What one worker counts, and the sum over workers.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "props/campaign.h"
#include "props/lockstep.h"

namespace lockstep::props {

class WorkerTally {
 public:
  explicit WorkerTally(std::size_t engines) : engines_(engines) {}

  /// Count one case; returns the commands that it took over all engines.
  std::uint64_t add(const Outcome& outcome, const Lockstep& lockstep);
  void seen_again(const std::string& key) { ++again_[key]; }
  /// Cumulative.
  nlohmann::json to_wire(const Lockstep& lockstep) const;

 private:
  struct PerEngine {
    std::uint64_t commands = 0;
    std::uint64_t cases = 0;
    std::map<std::string, std::uint64_t> skipped;
  };
  std::vector<PerEngine> engines_;
  std::uint64_t cases_ = 0;
  std::uint64_t discards_ = 0;
  std::uint64_t undecided_ = 0;
  std::string first_discard_;
  std::string first_undecided_;
  std::map<std::string, std::uint64_t> again_;
};

/// Add one worker's last tally to the result. `again`: key → further sightings.
void add_tally(const nlohmann::json& wire, CampaignResult& result,
               std::map<std::string, std::uint64_t>& again);

}  // namespace lockstep::props
