// SPDX-License-Identifier: GPL-2.0-or-later
/// A finding: every engine's answer side by side, the odd one named.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spec/observation.h"

namespace lockstep::props {

enum class FindingKind : std::uint8_t {
  refused,      ///< the model does not admit the observation
  expectation,  ///< the program text demands another observation
  teardown,     ///< Engine::end() told of a leak, a counter, a warning
  livelock,     ///< an access was still faulting after livelock_bound
  unexpected,   ///< the vCPU left the guest in a way nobody expected
  crash,        ///< the process that held the engine died
  hang          ///< a command passed its deadline
};

/// Value of the JSON key `kind`: the enumerator's name.
std::string_view name(FindingKind kind);

/// One engine's answer at the step of the finding.
struct Side {
  std::string engine;
  /// The observation as text; "(died)", "(hung)" or "(did not run)" otherwise.
  std::string answer;
  /// What the judge says about it; empty if admitted.
  std::string why;
  /// Marks the engine that the finding is about.
  bool odd = false;
  bool operator==(const Side&) const = default;
};

struct Finding {
  FindingKind kind = FindingKind::refused;
  /// The odd engine; "spec" if the model itself died.
  std::string engine;
  /// One line without addresses or values, so that equal bugs have equal
  /// titles. Starts with "spec suspect: " when all real engines (two at least)
  /// agree with each other and the model refuses them all.
  std::string title;
  /// Index in Program::steps; none for teardown.
  std::optional<std::size_t> step;
  /// First word of the failing command that tells its kind: "read", "slot" ...
  std::string command_kind;
  /// The failing command as text; empty for teardown.
  std::string command;
  /// In the order of the engines of the run.
  std::vector<Side> sides;
  /// What the model admits there, as text, the canonical one first.
  std::vector<std::string> admitted;
  /// The only observation that the model admits, if there is only one.
  std::optional<Observation> unique;
  /// Machine::explain() of the failing command before it took effect, from the
  /// judge of the odd engine.
  std::string walk;
  /// What the dead process wrote last, the teardown finding's text, and so on.
  std::string detail;
  bool spec_suspect = false;

  /// Findings with equal keys are one finding.
  std::string key() const;
};

/// The comparison as lines: one engine a line, ">>" before the odd one, what
/// the model admits below, the walk last. No trailing newline.
std::string side_by_side(const Finding& finding);

}  // namespace lockstep::props
