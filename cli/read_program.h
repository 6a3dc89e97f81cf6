// SPDX-License-Identifier: GPL-2.0-or-later
/// Programs from files that anyone may have written.
#pragma once

#include <filesystem>
#include <string>
#include <tl/expected.hpp>

#include "spec/program.h"

namespace lockstep::cli {

/// At most 1 MiB of text; "-" is standard input.
tl::expected<std::string, std::string> read_text(const std::filesystem::path& path);

/// Read, parse and validate one program; "-" is standard input. The error is a
/// message that names the file and, if it is text, the place in it.
tl::expected<Program, std::string> read_program(const std::filesystem::path& path);

}  // namespace lockstep::cli
