// SPDX-License-Identifier: GPL-2.0-or-later
/// From a kernel source to an image that hw/hosted/image.h can load.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "hw/kernels/build.h"
#include "hw/kernels/cache.h"
#include "hw/kernels/source.h"

namespace lockstep::hw::hosted {

/// How an image is made.
struct ImageOptions {
  std::string flavour = "release";
  /// Where it is linked: a number below image_places. Images of one process need
  /// different ones.
  unsigned place = 0;
  /// Gets what the compiler said while KVM was made, also of a build that fails.
  std::function<void(std::string_view)> heard = {};
};

/// Places of 64 MiB each, from 256 MiB up.
inline constexpr unsigned image_places = 24;

/// Address of a place.
constexpr std::uint64_t image_address(unsigned place) {
  return 0x1000'0000ull + static_cast<std::uint64_t>(place) * 0x400'0000ull;
}

/// Build the source's KVM and link it with the shim; returns the image's file in
/// the cache. What is up to date is not made again: a pristine tree's image
/// costs nothing the second time, a user's tree one run of make. Errors are those of
/// kernels::Build; a shim file that does not compile quotes the compiler.
kernels::Result<std::filesystem::path> build_image(const kernels::Cache& cache,
                                                   const kernels::Source& source,
                                                   const ImageOptions& options,
                                                   const kernels::Progress& progress);

}  // namespace lockstep::hw::hosted
