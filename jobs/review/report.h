// SPDX-License-Identifier: GPL-2.0-or-later
/// What a review says, for people and for machines.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "jobs/review/review.h"

namespace lockstep::jobs::review {

/// The page: verdict, then each patch with what was run, reached and found. Ends
/// with a newline.
std::string text_report(const ReviewReport& report);

/// An answer to the mail, in 72 columns: the verdict, then the touched hunks quoted,
/// each finding beneath the one that it runs.
std::string reply(const ReviewReport& report);

/// The array `patches` of --json, and all findings together.
nlohmann::json json_patches(const ReviewReport& report);
nlohmann::json json_findings(const ReviewReport& report);

/// The finding with its sides, program, lines of the patch and invariant.
std::string text_of(const ReviewFinding& finding);
/// What was run and reached of a patch, and what was not.
std::string text_of_run(const PatchReport& row);

}  // namespace lockstep::jobs::review
