// SPDX-License-Identifier: GPL-2.0-or-later
/// One overlay for many mutants: what changes between two builds is compiled
/// again, and nothing else.
#pragma once

#include <set>
#include <string>

#include "hw/kernels/mutant.h"
#include "hw/kernels/source.h"

namespace lockstep::hw::kernels {

class MutantTree {
 public:
  /// Make the overlay of the tree, or take the one that is there, for this process
  /// alone.
  static Result<MutantTree> open(const Cache& cache, const Tree& tree, const Progress& progress);

  /// The overlay with this mutation and no other. What an earlier call returned
  /// names the same files.
  Result<Source> hold(const Mutation& mutation);

 private:
  MutantTree(Lock lock, Source source) : lock_(std::move(lock)), source_(std::move(source)) {}
  std::filesystem::path list() const { return source_.path.string() + ".own"; }

  Lock lock_;
  Source source_;
  std::set<std::string> own_;  ///< files that some mutation has changed
};

}  // namespace lockstep::hw::kernels
