// SPDX-License-Identifier: GPL-2.0-or-later
/// The corpus as programs for hosted kernels.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "spec/program.h"

namespace lockstep::jobs {

/// A program with the name that a report gives it.
struct NamedProgram {
  std::string name;
  Program program;
};

/// The programs below the folder without what they expect, each under every host
/// that changes what the MMU does: vendor, TDP, TDP MMU. What does not parse is left
/// out.
std::vector<NamedProgram> corpus_programs(const std::filesystem::path& folder);

}  // namespace lockstep::jobs
