// SPDX-License-Identifier: GPL-2.0-or-later
/// Counterexamples of protocols as schedules: the steps of a run that refutes a
/// theorem, taken by the threads of the system that models the same protocol.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "props/schedule/saved.h"
#include "smt/prover.h"
#include "smt/theorem.h"

namespace lockstep::jobs {

/// The system and its defect that stand for the twin of a theorem; the defect is
/// empty if the theorem has none of them.
struct TwinDefect {
  std::string_view system;
  std::string_view defect;
};
TwinDefect defect_of_twin(std::string_view theorem);

/// The counterexample as threads in an order that fails, with the twin's defect or,
/// where the rule itself was refuted, without one: systems run impl's functions. The
/// error is one line, also where the system stays right in this order.
tl::expected<props::schedule::Saved, std::string> schedule_of(const smt::Theorem& theorem,
                                                              smt::Side side,
                                                              const smt::Proof& refuted);

/// Whether the schedule fails as it expects and, `mended`, without its defect does not.
struct ScheduleReplay {
  bool shows = false;
  bool mended = false;
  std::string failure;  ///< a line
  std::string page;     ///< what happened, in columns
};
ScheduleReplay replay_both(const props::schedule::Saved& saved);

}  // namespace lockstep::jobs
