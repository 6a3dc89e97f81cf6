// SPDX-License-Identifier: GPL-2.0-or-later
/// A patch, applied beside the tree by GNU patch.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "hw/kernels/error.h"
#include "hw/kernels/tree.h"

namespace lockstep::hw::kernels {

struct AppliedPatch {
  std::vector<std::string> written;  ///< files made or changed, as they stand in the scratch folder
  std::vector<std::string> removed;  ///< files of the tree that the patch removes
  std::vector<std::string>
      notes;  ///< "FILE:LINE: hunk 2 applied with offset 3": all but exact hunks
};

/// Apply the patch to copies, in the empty folder `scratch`, of just the files that
/// it names; the tree is only read. An input error names each hunk that does not
/// apply, the tree's own file:line, and where what stands there differs from what
/// the hunk wants.
Result<AppliedPatch> apply_patch(const Tree& tree, const std::string& patch,
                                 const std::filesystem::path& scratch);

}  // namespace lockstep::hw::kernels
