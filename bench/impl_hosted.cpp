// SPDX-License-Identifier: GPL-2.0-or-later
/// impl against the kernel's own MMU: the same programs through the same contract,
/// on the same software processor.
#include <fmt/format.h>

#include <cstdlib>

#include "bench/rows.h"
#include "props/engine_factory.h"

namespace lockstep::bench {
namespace {

struct Mode {
  std::string_view name;
  MmuKind mmu;
  PagingMode paging;
  bool tdp_mmu;
};

constexpr Mode modes[] = {
    {"shadow, 4-level guest", MmuKind::shadow, PagingMode::level4, true},
    {"shadow, 32-bit guest", MmuKind::shadow, PagingMode::bits32, true},
    {"tdp mmu", MmuKind::tdp, PagingMode::level4, true},
    {"direct shadow pages", MmuKind::tdp, PagingMode::level4, false},
};

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

/// Each page is written once, then its slot goes and comes again.
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

/// Seconds from the first command to the end of teardown; what was shown goes to
/// `shown`.
tl::expected<double, std::string> time_of(Engine& engine, const Program& program,
                                          std::vector<Observation>& shown) {
  shown.clear();
  shown.reserve(program.steps.size());
  const auto say = [&](const EngineError& error) {
    return tl::unexpected(fmt::format("{}: {}", engine.name(), error.message));
  };
  const auto start = Clock::now();
  if (auto begun = engine.begin(program.configuration, /*fresh=*/false); !begun) {
    return say(begun.error());
  }
  for (const Step& step : program.steps) {
    auto observation = engine.execute(step.command);
    if (!observation) return say(observation.error());
    shown.push_back(*std::move(observation));
  }
  auto end = engine.end();
  if (!end) return say(end.error());
  const double seconds = seconds_since(start);
  if (!std::holds_alternative<Done>(*end)) {
    return tl::unexpected(fmt::format("{}: {}", engine.name(), print(*end)));
  }
  return seconds;
}

}  // namespace

std::vector<Row> impl_against_hosted(const Options& options) {
  // Neither side looks at its inside.
  setenv("LOCKSTEP_INVARIANTS", "off", 1);
  auto impl = props::make_engine("impl", /*seed=*/1);
  auto hosted = props::make_engine("hosted:6.12", /*seed=*/1);
  std::vector<Row> rows;
  for (const Mode& mode : modes) {
    Row row;
    row.name = fmt::format("fault+zap, {}", mode.name);
    row.what = "time of hosted:6.12 over time of impl, teardown included";
    row.goal = 2;
    if (!hosted || !impl) {
      row.absent = "hosted:6.12: " + (hosted ? impl.error().message : hosted.error().message);
      rows.push_back(std::move(row));
      continue;
    }
    const auto program = fault_and_zap(mode, 4096 / options.scale, 4);
    rows.push_back(repeat(std::move(row), options, [&]() -> tl::expected<double, std::string> {
      std::vector<Observation> of_impl, of_hosted;
      const auto kernel = time_of(**hosted, program, of_hosted);
      if (!kernel) return kernel;
      const auto ours = time_of(**impl, program, of_impl);
      if (!ours) return ours;
      if (of_impl != of_hosted) return tl::unexpected(std::string("the two do not show the same"));
      return *kernel / *ours;
    }));
    rows.back().note = fmt::format("{} commands each, the processor's and contract's own included",
                                   program.steps.size());
  }
  unsetenv("LOCKSTEP_INVARIANTS");
  return rows;
}

}  // namespace lockstep::bench
