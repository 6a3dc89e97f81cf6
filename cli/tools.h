// SPDX-License-Identifier: GPL-2.0-or-later
/// Programs that parts of Lockstep use when they are installed.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace lockstep::cli {

struct Tool {
  std::string_view program;
  std::string_view package;  ///< of Debian
  std::string_view use;      ///< what is not there without it
};

/// Every tool that something here asks for beyond what a build needs.
std::span<const Tool> tools();

/// Path of an executable file of that name in the folders of `path`, separated
/// by colons as in the variable PATH.
std::optional<std::string> find_program(std::string_view program, std::string_view path);

/// The program beside this one that has the defects of impl; empty if there is none.
std::filesystem::path program_with_mutants();

}  // namespace lockstep::cli
