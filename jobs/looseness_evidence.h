// SPDX-License-Identifier: GPL-2.0-or-later
/// Why the model may be loose where it is: for each looseness a program of the
/// corpus that needs it, and a seeded defect that it must not hide.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "spec/kvm/machine.h"
#include "spec/program.h"

namespace lockstep::jobs {

struct LoosenessEvidence {
  spec::Looseness looseness = spec::Looseness::stale_translation;
  /// Below corpus/. Some answer that KVM or the architecture gives there is
  /// admitted by this looseness alone.
  std::string_view program;
  /// A defect of impl whose answers are of the same kind as those that the looseness
  /// admits, and which `mutants` must detect nevertheless.
  std::string_view mutant;
};

/// All of them, in the order of spec::Looseness.
std::span<const LoosenessEvidence> looseness_evidence();

/// How often each looseness is needed by answers that the model draws to this
/// program, on platforms of each kind (shadow paging and TDP, Intel and AMD,
/// kvm_pvm). What the text expects is preferred, so the rest follows it.
std::array<std::uint64_t, spec::looseness_count> loosenesses_needed(const Program& program);

}  // namespace lockstep::jobs
