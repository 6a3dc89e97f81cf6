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

/// The answer as KTAP, version 1: a test a patch, and one a question in it. What could
/// not be answered is `not ok` with the directive ERROR, never a skip.
std::string ktap(const ReviewReport& report);

/// The findings as SARIF 2.1.0, at the lines of the patch that they run.
nlohmann::json sarif(const ReviewReport& report);

/// One page without scripts: the verdict, then each diff with the lines that ran marked,
/// each finding beneath the hunk that it runs.
std::string html(const ReviewReport& report);

/// The array `patches` of --json, and all findings together.
nlohmann::json json_patches(const ReviewReport& report);
nlohmann::json json_findings(const ReviewReport& report);

/// The finding with its sides, program, lines of the patch and invariant.
std::string text_of(const ReviewFinding& finding);
/// The page's lines about a patch, its findings apart.
std::string text_of_patch(const PatchReport& row);
/// What was run and reached of a patch, and what was not.
std::string text_of_run(const PatchReport& row);

}  // namespace lockstep::jobs::review
