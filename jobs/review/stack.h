// SPDX-License-Identifier: GPL-2.0-or-later
/// A series, applied patch by patch beside the tree that it is for.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/changed_lines.h"
#include "hw/kernels/mutant_tree.h"
#include "jobs/review/submission.h"

namespace lockstep::jobs::review {

/// What came of one patch.
struct AppliedStep {
  bool applies = false;
  std::string why;                 ///< it does not apply: hunks, nearest context
  std::vector<std::string> notes;  ///< offsets, fuzz, repairs
  std::string repaired;            ///< the diff that repair() made; empty if none was needed
  std::vector<std::string> lost;   ///< hunks of a damaged diff that no place was found for
  std::string diff;                ///< exactly what changed, with the tree's own line numbers
  std::vector<hw::kernels::ChangedLines> lines;  ///< of `diff`
};

/// Whether a changed file may decide what a build runs: a makefile, a script, a
/// program of the host. Files that are only compiled for the target, or not read at
/// all, do not.
bool decides_build(std::string_view file);

/// Whether a build of KVM may compile the file.
bool may_be_compiled(std::string_view file);

/// Names of the files that a diff touches; empty if it is none.
std::vector<std::string> files_of_diff(const std::string& diff);

class PatchStack {
 public:
  /// `guarded`: some patch decides the build; it gets an overlay that close() removes.
  static hw::kernels::Result<PatchStack> open(const hw::kernels::Cache& cache,
                                              const hw::kernels::Tree& tree, bool guarded,
                                              const hw::kernels::Progress& progress);

  /// Apply one more. A patch that does not apply changes nothing. Machine errors only.
  hw::kernels::Result<AppliedStep> push(const SubmittedPatch& patch);

  /// What kbuild compiles with all patches that applied.
  const hw::kernels::Source& source() const { return source_; }
  /// Names the state: equal states have equal names.
  std::string state_key() const;
  /// Remove what a guarded stack made.
  void close();

 private:
  PatchStack(const hw::kernels::Cache& cache, hw::kernels::Tree tree,
             hw::kernels::MutantTree overlay, hw::kernels::Source source, bool guarded)
      : cache_(cache),
        tree_(std::move(tree)),
        overlay_(std::move(overlay)),
        source_(std::move(source)),
        guarded_(guarded) {}

  hw::kernels::Result<void> hold();
  hw::kernels::Result<void> fetch_missing(const std::string& diff);

  hw::kernels::Cache cache_;
  hw::kernels::Tree tree_;
  hw::kernels::MutantTree overlay_;
  hw::kernels::Source source_;
  hw::kernels::MutantTree::Files state_;
  bool guarded_;
};

}  // namespace lockstep::jobs::review
