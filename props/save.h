// SPDX-License-Identifier: GPL-2.0-or-later
/// Failures as files that anyone can replay.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "props/finding.h"
#include "spec/program.h"

namespace lockstep::props {

/// The program up to the failing step, titled after the finding, with
/// provenance as comments and, on the failing step, what the model admits if
/// that is one observation.
Program annotated(const Program& program, const Finding& finding,
                  const std::vector<std::string>& provenance);

/// "kvm-refused-read-1a2b3c4d": equal findings have equal names.
std::string file_stem(const Finding& finding);

/// Write DIRECTORY/STEM.lockstep, replacing it in one step.
tl::expected<std::filesystem::path, std::string> save(const std::filesystem::path& directory,
                                                      const std::string& stem,
                                                      const Program& program);

/// Write DIRECTORY/STEM/001.lockstep ... in the order in which they ran.
tl::expected<std::filesystem::path, std::string> save_sequence(
    const std::filesystem::path& directory, const std::string& stem,
    std::span<const Program> programs);

}  // namespace lockstep::props
