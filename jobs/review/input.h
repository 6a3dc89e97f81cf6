// SPDX-License-Identifier: GPL-2.0-or-later
/// From what stands on the command line to a submission.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hw/kernels/error.h"
#include "jobs/review/submission.h"

namespace lockstep::jobs::review {

/// More than this is no patch that anybody reviews.
inline constexpr std::uintmax_t largest_input = 64u << 20;

/// Read files, folders (of patches or of mail, by name; also maildirs), "-" for
/// standard input, or a range of git ("A..B", or one commit) in `checkout`. Input
/// errors name what is there instead.
hw::kernels::Result<Submission> read_submission(const std::vector<std::string>& arguments,
                                                const std::filesystem::path& checkout);

/// Whether the folder is a checkout of git.
bool is_checkout(const std::filesystem::path& folder);

}  // namespace lockstep::jobs::review
