// SPDX-License-Identifier: GPL-2.0-or-later
/// Warnings that unmodified kernels give and that are understood: counted, so
/// that what is new stands out.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "hw/hosted/aliases.h"
#include "hw/hosted/host.h"
#include "spec/kvm/invariants.h"

namespace lockstep::hw::hosted {

struct KnownFinding {
  std::string_view release;  ///< "6.12" stands for 6.12.1 too
  std::string_view file;
  unsigned line = 0;
  unsigned drift = 0;  ///< lines by which patches may move it, short of the next warning
  /// What its line of source says: a patch under review may move it far.
  std::string_view source;
  /// Where the compiler may leave its code: the function, and one that it is inlined into.
  std::array<std::string_view, 2> functions;
  std::string_view name;
  std::string_view reason;
};

std::span<const KnownFinding> known_findings();

/// What a program must have met for an invariant to be broken by what is known.
struct Circumstances {
  bool shadow = false;    ///< shadow paging
  bool met_mmio = false;  ///< in any command so far
  /// Host pages that had two guest addresses; not owned, null: none had.
  const Aliases* aliases = nullptr;
};

/// Name of a violation that every known kernel shows under shadow paging, in these
/// circumstances alone: corpus/bugs/mmio-entry-escapes-write-protection, and the record of
/// the first gfn that corpus/bugs/alias-gfns-escape-dirty-log tells of. Empty for every
/// other one.
std::string_view known(const spec::Violation& violation, const Circumstances& met);

/// Name of what a kernel passes over that ages ranges by steps (hosted_image.ages_by_steps,
/// spec::AgingWalk::by_steps): corpus/bugs/aging-misses-the-last-huge-page.
inline constexpr std::string_view known_aging = "aging-misses-the-last-huge-page";

/// Which of them a finding of this kernel is; null for every other one. Only
/// warnings are ever known.
const KnownFinding* known(const Finding& finding, std::string_view release);

}  // namespace lockstep::hw::hosted
