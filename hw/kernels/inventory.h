// SPDX-License-Identifier: GPL-2.0-or-later
/// What the cache holds, and its end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/cache.h"
#include "hw/kernels/error.h"

namespace lockstep::hw::kernels {

struct CachedKernel {
  std::string version;  ///< "6.1"; "path-…" for trees of a user's, whose source is not here
  std::string release;  ///< "6.1.192"; empty for a user's tree
  std::string package;  ///< origin_of()
  std::uint64_t source_bytes = 0;
  std::uint64_t made_bytes = 0;  ///< overlays, build folders and images
};

struct Inventory {
  std::vector<CachedKernel> kernels;  ///< oldest version first, users' trees last
  std::uint64_t other_bytes = 0;      ///< apt's index
};

Inventory take_inventory(const Cache& cache);

/// Remove a version ("6.1") or what was made from a user's tree ("path-…"): source,
/// overlays, build folders, images. Waits for a build that another process runs
/// there. Returns the bytes that came free. An input error lists what there is.
Result<std::uint64_t> remove_kernel(const Cache& cache, std::string_view version,
                                    const Progress& progress);

}  // namespace lockstep::hw::kernels
