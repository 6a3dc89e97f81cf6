// SPDX-License-Identifier: GPL-2.0-or-later
/// Cases of the page-walk matrix as programs, so that any engine can run them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "props/page_walk_matrix_case.h"
#include "spec/program.h"

namespace lockstep::props {

/// Most cases of one program: each has tables of its own below harness::window.
inline constexpr std::size_t matrix_batch = 96;

/// Why a program cannot say the case, if it cannot: CPUID bits that no
/// configuration names, and PDPTEs that the load of CR3 refuses.
std::optional<std::string> no_program(const MatrixCase& c);

/// One case with what the spec demands of it. Where no_program() has a reason
/// the program says so in a comment and demands nothing.
Program matrix_program(const MatrixCase& c);

/// Up to matrix_batch cases, each with page tables and pages of its own, their
/// accesses in order; a model judges them. Mode, MAXPHYADDR and processor flags
/// are those of the first. `access_step[i]`, if asked for, is the index of the
/// step that is the access of case i.
Program matrix_program(std::span<const MatrixCase> cases,
                       std::vector<std::size_t>* access_step = nullptr);

}  // namespace lockstep::props
