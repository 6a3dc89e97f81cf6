// SPDX-License-Identifier: GPL-2.0-or-later
/// One overlay for many mutants or patches, one after the other: what changes
/// between two builds is compiled again, and nothing else.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "hw/kernels/mutant.h"
#include "hw/kernels/source.h"

namespace lockstep::hw::kernels {

class MutantTree {
 public:
  /// Files by name relative to the tree; none: the tree shall not have it.
  using Files = std::map<std::string, std::optional<std::string>>;

  /// Make the overlay of the tree, or take the one that is there, for this process
  /// alone. Each purpose has an overlay of its own, and builds of its own.
  static Result<MutantTree> open(const Cache& cache, const Tree& tree, const Progress& progress,
                                 const std::string& purpose = "mutants");

  /// The overlay with this mutation and no other. What an earlier call returned
  /// names the same files.
  Result<Source> hold(const Mutation& mutation);
  Result<Source> hold_files(const Files& files);

  /// Where the overlay stands.
  const std::filesystem::path& path() const { return source_.path; }

 private:
  MutantTree(Lock lock, Source source) : lock_(std::move(lock)), source_(std::move(source)) {}
  std::filesystem::path list() const { return source_.path.string() + ".own"; }

  Lock lock_;
  Source source_;
  std::set<std::string> own_;  ///< files that some call has changed
};

}  // namespace lockstep::hw::kernels
