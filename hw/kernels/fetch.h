// SPDX-License-Identifier: GPL-2.0-or-later
/// Kernel sources, from Debian's archive into the cache.
#pragma once

#include <string>
#include <string_view>

#include "hw/kernels/cache.h"
#include "hw/kernels/error.h"
#include "hw/kernels/tree.h"

namespace lockstep::hw::kernels {

struct Fetched {
  Tree tree;
  std::string package;  ///< Debian version and suite: "7.2.13-1 sid"
  bool was_there = false;
};

/// Have the version ("6.12") in the cache: download and unpack it unless it is
/// there. Without a network the package's tarball of this machine serves, where it
/// is installed. Errors: an unknown version lists those that there are; no space,
/// with what is needed; apt's and tar's own words.
Result<Fetched> fetch(const Cache& cache, std::string_view version, const Progress& progress);

/// Where a tree of the cache came from, as Fetched::package; empty if nobody knows.
std::string origin_of(const Cache& cache, std::string_view version);

/// Unpack a linux-source tarball as the tree of a version. The tree appears whole
/// or not at all. Errors: no space, tar's own words, another version inside.
Result<Tree> unpack(const Cache& cache, std::string_view version,
                    const std::filesystem::path& tarball, const Progress& progress);

}  // namespace lockstep::hw::kernels
