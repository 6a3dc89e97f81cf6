// SPDX-License-Identifier: GPL-2.0-or-later
/// The tree that a submission names for itself: base-commit and prerequisite-patch-id
/// lines of git format-patch --base.
#pragma once

#include <string>
#include <vector>

#include "hw/kernels/cache.h"
#include "hw/kernels/error.h"
#include "hw/kernels/process.h"
#include "hw/kernels/tree.h"
#include "jobs/review/submission.h"

namespace lockstep::jobs::review {

struct Base {
  hw::kernels::Tree tree;
  std::vector<std::string> notes;  ///< how it was chosen, what lacks
};

/// `tree`, or the tree of the base-commit where `tree` is a git checkout that has this
/// commit and stands elsewhere. Prerequisites that neither the commits after the base nor
/// the submission hold are named. Errors are the machine's: no space, git fails.
hw::kernels::Result<Base> base_of(const hw::kernels::Cache& cache, const hw::kernels::Tree& tree,
                                  const Submission& submission,
                                  const hw::kernels::Progress& progress);

}  // namespace lockstep::jobs::review
