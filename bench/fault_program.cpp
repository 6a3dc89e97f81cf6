// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/fault_program.h"

#include <algorithm>

#include "bench/rows.h"

namespace lockstep::bench {
namespace {

constexpr Gva base = 0x4000'0000;
constexpr std::uint64_t rwu_ad =
    entry::present | entry::writable | entry::user | entry::accessed | entry::dirty;

/// Tables that map `pages` pages at `base` to themselves. Guest and host pages
/// are not aligned alike, so that each page has an entry of its own.
void map_pages(Program& program, std::uint64_t pages) {
  const PagingMode mode = program.configuration.paging;
  const auto set = [&](TableLevel level, Gpa table, std::uint64_t index, std::uint64_t value) {
    program.steps.push_back(
        step_of(EntrySet{std::nullopt, level, table, static_cast<unsigned>(index), value}));
  };
  const std::uint64_t fan = entries_per_table(mode);
  Gpa directory = 0x1000;
  std::uint64_t first = base >> 22;
  if (mode != PagingMode::bits32) {
    set(TableLevel::pml4, 0x1000, 0, 0x2000 | rwu_ad);
    set(TableLevel::pdpt, 0x2000, 1, 0x3000 | rwu_ad);
    directory = 0x3000;
    first = 0;
  }
  for (std::uint64_t page = 0; page < pages; ++page) {
    const Gpa table = 0x10000 + page / fan * page_size;
    if (page % fan == 0) set(TableLevel::pd, directory, first + page / fan, table | rwu_ad);
    set(TableLevel::pt, table, page % fan, (base + page * page_size) | rwu_ad);
  }
}

}  // namespace

Program fault_and_zap(const Mode& mode, std::uint64_t pages, unsigned rounds) {
  Program program;
  program.configuration.paging = mode.paging;
  program.configuration.mmu = mode.mmu;
  program.configuration.memory = 64ull << 20;
  program.configuration.host.vendor = Vendor::amd;
  program.configuration.host.tdp_mmu = mode.tdp_mmu;
  program.configuration.host.nx_huge_pages = false;
  const SlotAdd slot{1, base, pages * page_size, 0x20'1000, false, false};
  program.steps.push_back(step_of(SlotAdd{0, 0, 0x20'0000, 0, false, false}));
  program.steps.push_back(step_of(slot));
  map_pages(program, pages);
  for (unsigned round = 0; round < rounds; ++round) {
    for (std::uint64_t page = 0; page < pages; ++page) {
      program.steps.push_back(step_of(
          Access{0, AccessKind::write, Cpl::user, base + page * page_size, page, 4, false}));
    }
    program.steps.push_back(step_of(SlotDelete{1}));
    program.steps.push_back(step_of(slot));
  }
  return program;
}

std::size_t setup_steps(const Program& program) {
  const auto first = std::ranges::find_if(
      program.steps, [](const Step& step) { return std::holds_alternative<Access>(step.command); });
  return static_cast<std::size_t>(first - program.steps.begin());
}

}  // namespace lockstep::bench
