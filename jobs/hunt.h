// SPDX-License-Identifier: GPL-2.0-or-later
/// One campaign against a changed kernel: the first finding that the unchanged
/// one does not show.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "props/campaign.h"
#include "props/lockstep.h"

namespace lockstep::jobs {

/// The program of a finding, run once more and alone.
struct Trial {
  bool on_base = false;  ///< the unchanged kernel fails too
  bool again = false;    ///< the changed kernel fails again
  double cpu_seconds = 0;
};

/// What a hunt needs of the world; tests replace it.
struct HuntWorld {
  std::function<props::CampaignResult(const props::CampaignOptions&)> campaign =
      props::run_campaign;
  std::function<Trial(const props::CampaignFinding&)> trial;
  /// CPU seconds of all children of this process, living and dead.
  std::function<double()> cpu_seconds;
  std::string engine = {};  ///< the changed one
  /// The unchanged engine can be opened now; asked when the changed one gave up. May be
  /// empty: there is none to open.
  std::function<bool()> base_opens = {};
};

struct Hunt {
  /// Seen again, and not on the base; the program is as it was met.
  std::optional<props::CampaignFinding> detection;
  double cpu_seconds = 0;  ///< to the detection, else in all
  std::uint64_t cases = 0;
  std::size_t excluded = 0;  ///< findings that the base shows too
  /// Title of one: what the campaign no longer tells, a mutant may hide behind.
  std::string masked;
  /// Title of a finding that neither kernel shows again: no detection.
  std::string unconfirmed;
  /// Why the changed engine could not run or go on, twice, while the unchanged one can;
  /// empty otherwise.
  std::string gave_up;
  /// What else ended the cases before their time: another engine, the machine.
  std::string broken;
  bool interrupted = false;
};

/// Run the campaign until a detection or until `cpu_budget` is spent; its own
/// budget of wall time bounds it too. `known` are keys of the base's findings;
/// those that turn out to be the base's are added. `options.found`,
/// `options.progress` still hear everything; `options.stop` still stops it.
Hunt hunt(props::CampaignOptions options, std::chrono::milliseconds cpu_budget,
          std::set<std::string>& known, const HuntWorld& world);

/// The program failed for a reason of its own. What a saved program expects at its
/// end is what the model admitted to the engine that failed there; a sound engine
/// may have shown something else before, and be admitted another answer.
bool fails(const props::Outcome& outcome);

/// CPU seconds of all children of this process, living (with those that they
/// reaped) and dead.
double cpu_seconds_of_children();
/// Those of the dead alone.
double cpu_seconds_of_dead_children();

}  // namespace lockstep::jobs
