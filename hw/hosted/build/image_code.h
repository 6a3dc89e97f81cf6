// SPDX-License-Identifier: GPL-2.0-or-later
/// The machine code of an image's file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"

namespace lockstep::hw::hosted {

/// A loaded part of the file with code.
struct Code {
  std::uint64_t begin = 0;
  std::span<const std::uint8_t> bytes;  ///< of the file's text
};

/// The parts of an ELF file that may be executed; none of what is no such file.
std::vector<Code> code_of(std::string_view file);

/// Whether two images, linked for the same place, have the same machine code, constants
/// and initial values. Tables of line numbers, which a comment moves, are left out. False
/// where one is no ELF file.
kernels::Result<bool> same_code(const std::filesystem::path& one,
                                const std::filesystem::path& other);

}  // namespace lockstep::hw::hosted
