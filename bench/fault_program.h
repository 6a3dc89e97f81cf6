// SPDX-License-Identifier: GPL-2.0-or-later
/// The program that impl and a hosted kernel run against each other: faults on
/// many pages, then their slot goes.
#pragma once

#include <string_view>

#include "spec/program.h"

namespace lockstep::bench {

struct Mode {
  std::string_view name;
  MmuKind mmu = MmuKind::shadow;
  PagingMode paging = PagingMode::level4;
  bool tdp_mmu = true;
};

inline constexpr Mode modes[] = {
    {"shadow, 4-level guest", MmuKind::shadow, PagingMode::level4, true},
    {"shadow, 32-bit guest", MmuKind::shadow, PagingMode::bits32, true},
    {"tdp mmu", MmuKind::tdp, PagingMode::level4, true},
    {"direct shadow pages", MmuKind::tdp, PagingMode::level4, false},
};

/// Tables that map `pages` pages of slot 1, which is written page by page and then
/// deleted and made again, `rounds` times. Guest and host pages are not aligned
/// alike, so that each page has an entry of its own.
Program fault_and_zap(const Mode& mode, std::uint64_t pages, unsigned rounds);

/// Commands of fault_and_zap() before the first write.
std::size_t setup_steps(const Program& program);

}  // namespace lockstep::bench
