// SPDX-License-Identifier: GPL-2.0-or-later
/// Images of this process, by the name of the engine that will load them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "hw/kernels/error.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::hosted {

/// What "hosted:6.1" or "hosted-asan:/path/to/linux" asks for.
struct HostedName {
  std::string flavour;
  std::string tree;  ///< a version of the cache, or a path
};

/// None if the name is no hosted engine's. An input error if it is and cannot be
/// meant: no tree, an unknown flavour.
kernels::Result<std::optional<HostedName>> parse_hosted_name(std::string_view name);

/// Build the image of the engine, once in this process and its children: a
/// second call for the same name only tells the file. Each name gets a place of its
/// own. Not thread-safe.
kernels::Result<std::filesystem::path> prepare_hosted(std::string_view name,
                                                      const kernels::Progress& progress);

}  // namespace lockstep::hw::hosted
