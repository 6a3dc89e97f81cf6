// SPDX-License-Identifier: GPL-2.0-or-later
/// Warnings that unmodified kernels give and that are understood: counted, so
/// that what is new stands out.
#pragma once

#include <span>
#include <string_view>

#include "hw/hosted/host.h"
#include "spec/kvm/invariants.h"

namespace lockstep::hw::hosted {

struct KnownFinding {
  std::string_view release;  ///< "6.12" stands for 6.12.1 too
  std::string_view file;
  unsigned line = 0;
  unsigned drift = 0;  ///< lines by which patches may move it, short of the next warning
  std::string_view name;
  std::string_view reason;
};

std::span<const KnownFinding> known_findings();

/// Name of the invariant's violation that every known kernel shows once a program has met
/// MMIO under shadow paging: corpus/bugs/mmio-entry-escapes-write-protection. Empty
/// for every other one.
std::string_view known(const spec::Violation& violation, bool shadow_met_mmio);

/// Which of them a finding of this kernel is; null for every other one. Only
/// warnings are ever known.
const KnownFinding* known(const Finding& finding, std::string_view release);

}  // namespace lockstep::hw::hosted
