// SPDX-License-Identifier: GPL-2.0-or-later
/// What `run` prints: a page for people, an object for machines.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "props/campaign.h"

namespace lockstep::jobs {

/// Verdict line, findings, a table of engines, reach, loosenesses used, what
/// was never reached. Ends with a newline.
std::string text_report(const props::CampaignResult& result);

/// The keys of `--json` for the verb `run`; see the design.
nlohmann::json json_report(const props::CampaignResult& result);

/// One finding as text (also for `replay`): title, sides, program, walk.
/// `path` is named in the replay command line; may be empty.
std::string text_finding(const props::Finding& finding, const Program& program,
                         const std::string& path);

}  // namespace lockstep::jobs
