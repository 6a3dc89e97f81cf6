// SPDX-License-Identifier: GPL-2.0-or-later
/// What a review found against a patch.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/review/workbench.h"
#include "props/finding.h"
#include "spec/program.h"

namespace lockstep::jobs::review {

struct ReviewFinding {
  enum class Kind : std::uint8_t {
    behaviour,   ///< the patched kernel shows what the spec does not admit, the base does not
    difference,  ///< both kernels show what is admitted, and not the same
    cost,        ///< the same programs cost the patched kernel more
    schedule,    ///< CPUs of the patched kernel fail in an order that the base stands
    splat,       ///< the patched kernel, booted, reports what the base does not
  };
  Kind kind = Kind::behaviour;
  std::string title;  ///< one line
  std::string detail;
  /// Number of the invariant that a view breaks; none if another oracle spoke.
  std::optional<unsigned> invariant;
  Program program;             ///< the least that shows it; empty of a schedule
  std::string page;            ///< of a schedule: what happened, in columns
  std::filesystem::path path;  ///< where it is saved; empty if there is none
  props::Finding seen;         ///< base, patched and spec side by side
  std::vector<Place> lines;    ///< changed lines that the program runs
  bool expected = false;       ///< declared by --expect
};

/// "behaviour", "difference", "cost", "schedule", "splat".
std::string_view name(ReviewFinding::Kind kind);

/// The number in "invariant 19: ..."; none if the text has no such thing.
std::optional<unsigned> invariant_in(std::string_view text);

/// Lines that a person reads first: what the patched kernel does, what the base
/// and the spec do.
std::vector<std::string> sides_of(const ReviewFinding& finding);

}  // namespace lockstep::jobs::review
