// SPDX-License-Identifier: GPL-2.0-or-later
/// What a run costs: spec and impl in lockstep, with the checks of `run`.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "bench/rows.h"
#include "props/campaign.h"
#include "props/model.h"
#include "props/open_engines.h"

namespace lockstep::bench {
namespace {

/// `pages` pages, of slots that share their host memory; 2-MiB pages of the guest
/// that nothing aligned alike stands behind, so that each 4 KiB is an entry.
struct Mapped {
  static constexpr Gpa base = 0x4000'0000;
  static constexpr std::uint64_t slot_bytes = 60ull << 20;
  static constexpr std::uint64_t slot_pages = slot_bytes / page_size;
  static constexpr std::uint64_t apart = 64ull << 20;

  static Gva address(std::uint64_t page) {
    return base + page / slot_pages * apart + page % slot_pages * page_size;
  }
};

Program mapped_program(std::uint64_t pages, std::uint64_t commands, MmuKind mmu,
                       std::size_t& measured_from) {
  constexpr std::uint64_t rwu_ad =
      entry::present | entry::writable | entry::user | entry::accessed | entry::dirty;
  Program program;
  program.configuration.mmu = mmu;
  program.configuration.memory = 64ull << 20;
  auto add = [&](Command command) { program.steps.push_back(step_of(std::move(command))); };
  add(SlotAdd{0, 0, 0x20'0000, 0, false, false});
  const std::uint64_t slots = (pages + Mapped::slot_pages - 1) / Mapped::slot_pages;
  for (unsigned i = 0; i < slots; ++i) {
    add(SlotAdd{i + 1, Mapped::base + i * Mapped::apart, Mapped::slot_bytes, 0x20'1000, false,
                false});
  }
  add(EntrySet{std::nullopt, TableLevel::pml4, 0x1000, 0, 0x2000 | rwu_ad});
  add(EntrySet{std::nullopt, TableLevel::pdpt, 0x2000, 1, 0x3000 | rwu_ad});
  for (unsigned i = 0; i < slots * Mapped::apart >> 21; ++i) {
    add(EntrySet{std::nullopt, TableLevel::pd, 0x3000, i,
                 (Mapped::base + (std::uint64_t{i} << 21)) | rwu_ad | entry::page_size});
  }
  const auto read = [&](std::uint64_t page) {
    add(Access{0, AccessKind::read, Cpl::user, Mapped::address(page), 0, 8, false});
  };
  for (std::uint64_t page = 0; page < pages; ++page) read(page);
  measured_from = program.steps.size();
  std::uint64_t random = 1;
  for (std::uint64_t i = 0; i < commands; ++i) {
    random = random * 6364136223846793005ull + 1442695040888963407ull;
    const std::uint64_t page = (random >> 33) % pages;
    if (i % 16 == 15) {
      add(Invlpg{0, Mapped::address(page)});
    } else if (i % 4 == 1) {
      add(Access{0, AccessKind::write, Cpl::user, Mapped::address(page), i, 8, false});
    } else {
      read(page);
    }
  }
  return program;
}

/// Seconds a command, once all pages are mapped.
tl::expected<double, std::string> seconds_a_command(std::uint64_t pages, std::uint64_t commands,
                                                    MmuKind mmu) {
  const std::vector<std::string> names = {"spec", "impl"};
  auto opened = props::open_engines(names, props::make_engine, /*seed=*/1);
  if (!opened) return tl::unexpected(opened.error().message);
  std::size_t from = 0;
  const Program program = mapped_program(pages, commands, mmu, from);
  // As props::Lockstep does, without the bound on a program's text.
  for (const auto& engine : *opened) {
    // An engine's first program is looked at after each command, as a replay is.
    if (!engine->begin({}, /*fresh=*/false) || !engine->end()) {
      return tl::unexpected(std::string("an engine broke"));
    }
    if (auto begun = engine->begin(program.configuration, /*fresh=*/false); !begun) {
      return tl::unexpected(begun.error().message);
    }
  }
  Engine& impl = *opened->back();
  const auto model = props::machine_models()(program.configuration, impl.platform());
  Clock::time_point start, end;
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    if (i == from) start = Clock::now();
    const Command& command = program.steps[i].command;
    const auto drawn = opened->front()->execute(command);
    const auto shown = impl.execute(command);
    if (!drawn || !shown) return tl::unexpected(std::string("an engine broke"));
    if (const auto judged = model->judge(command, *shown);
        judged.kind != spec::Judgement::Kind::admitted) {
      return tl::unexpected(fmt::format("step {}: {}, wanted {}", i, print(*shown), judged.why));
    }
  }
  end = Clock::now();
  for (const auto& engine : *opened) {
    const auto ended = engine->end();
    if (!ended || !std::holds_alternative<Done>(*ended)) {
      return tl::unexpected(fmt::format("{}: teardown", engine->name()));
    }
  }
  return std::chrono::duration<double>(end - start).count() / static_cast<double>(commands);
}

/// Commands of an engine beside the spec, for each CPU second of the workers, over so many.
Row campaign_row(const std::string& engine, double wanted, const Options& options) {
  Row row;
  row.name = "run spec," + engine;
  row.what = fmt::format("commands of {} for each CPU second of the workers, over {:.0f} k", engine,
                         wanted / 1e3);
  row.goal = 1;
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("lockstep-bench-{}", getpid());
  std::uint64_t seed = 1;
  double best = 0;
  row = repeat(std::move(row), options, [&]() -> tl::expected<double, std::string> {
    props::CampaignOptions campaign;
    campaign.engines = {"spec", engine};
    // Engines open within it, on a loaded machine, too.
    campaign.budget = std::chrono::milliseconds(std::max(4000 / options.scale, 1000u));
    campaign.seed = seed++;
    campaign.canary = false;
    campaign.failures = folder;
    const double before = cpu_seconds_of_children();
    const auto result = props::run_campaign(campaign);
    const double spent = cpu_seconds_of_children() - before;
    if (result.verdict != props::Verdict::pass) return tl::unexpected(result.reason);
    const auto tally = std::ranges::find(result.engines, engine, &props::EngineTally::name);
    const double rate = static_cast<double>(tally->commands) / spent;
    best = std::max(best, rate);
    return rate / wanted;
  });
  row.note = fmt::format("best: {:.0f} k commands/s a core", best / 1e3);
  return row;
}

}  // namespace

std::vector<Row> side_by_side(const Options& options) {
  std::vector<Row> rows = {campaign_row("impl", 300e3, options)};
  // What compiles the kernel is not what is measured.
  const std::string hosted = "hosted:6.1";
  if (auto opened = props::make_engine(hosted, /*seed=*/1); !opened) {
    Row row;
    row.name = "run spec," + hosted;
    row.what = "commands of hosted:6.1 for each CPU second of the workers, over 200 k";
    row.goal = 1;
    row.absent = hosted + ": " + opened.error().message;
    rows.push_back(std::move(row));
  } else {
    opened->reset();
    rows.push_back(campaign_row(hosted, 200e3, options));
  }
  return rows;
}

std::vector<Row> mapped_pages(const Options& options) {
  std::vector<Row> rows;
  for (const auto& [mmu, name] : {std::pair(MmuKind::shadow, "shadow"), {MmuKind::tdp, "tdp"}}) {
    Row row;
    row.name = fmt::format("100,000 mapped pages, {}", name);
    row.what = "time a command of spec and impl, over the same with 100 pages";
    row.goal = 1.5;
    row.at_most = true;
    const std::uint64_t commands = 40'000 / options.scale;
    rows.push_back(repeat(std::move(row), options, [&]() -> tl::expected<double, std::string> {
      const auto few = seconds_a_command(100, commands, mmu);
      const auto many = seconds_a_command(100'000 / options.scale, commands, mmu);
      if (!few) return few;
      if (!many) return many;
      return *many / *few;
    }));
  }
  return rows;
}

}  // namespace lockstep::bench
