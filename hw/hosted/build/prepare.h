// SPDX-License-Identifier: GPL-2.0-or-later
/// Images of this process, by the name of the engine that will load them.
#pragma once

#include <filesystem>
#include <string_view>

#include "hw/kernels/error.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::hosted {

/// Build the image of the engine, once in this process and its children: a
/// second call for the same name only tells the file. Each name gets a place of its
/// own. A name that says the path of an image is that image. Not thread-safe.
kernels::Result<std::filesystem::path> prepare_hosted(std::string_view name,
                                                      const kernels::Progress& progress);

}  // namespace lockstep::hw::hosted
