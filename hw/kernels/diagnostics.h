// SPDX-License-Identifier: GPL-2.0-or-later
/// The first thing that a compiler or kbuild complained about, to be quoted.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace lockstep::hw::kernels {

/// The first error in what a build said, with the source lines that the compiler
/// quoted below it, and paths relative to the tree at `source`; else the last
/// line that is not make's own echo of the failure. Empty if it said nothing.
std::string first_error(std::string_view said, const std::filesystem::path& source);

/// The first line of what a build said with these words in it; empty without one.
std::string line_about(std::string_view said, std::string_view words);

/// The Debian package that the build misses, by what it said: a tool that was not
/// found, a header of the host's. Empty if nothing points to one.
std::string missing_package(std::string_view said);

}  // namespace lockstep::hw::kernels
