// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory that a mapped page costs, in impl and in the kernel: what both have more
/// once a slot was made and each of its pages faulted in.
#include <fmt/format.h>

#include <optional>

#include "bench/fault_program.h"
#include "bench/rows.h"
#include "props/engine_factory.h"
#include "spec/engine_insides.h"

namespace lockstep::bench {
namespace {

/// Run the program up to the end of its first round of writes; what
/// CountsMemory::mmu_bytes() has more then.
tl::expected<double, std::string> bytes_a_page(Engine& engine, const Program& program,
                                               std::uint64_t pages) {
  const auto run = [&](std::size_t from, std::size_t to) -> tl::expected<void, std::string> {
    for (std::size_t i = from; i < to; ++i) {
      const auto seen = engine.execute(program.steps[i].command);
      if (!seen) return tl::unexpected(seen.error().message);
      if (!std::holds_alternative<Done>(*seen)) return tl::unexpected(print(*seen));
    }
    return {};
  };
  auto* const counts = dynamic_cast<CountsMemory*>(&engine);
  if (counts == nullptr) return tl::unexpected(std::string("the engine counts no memory"));
  if (auto begun = engine.begin(program.configuration, /*fresh=*/true); !begun) {
    return tl::unexpected(begun.error().message);
  }
  // Slot 0 holds the guest's tables; slot 1 is what is measured.
  if (auto done = run(0, 1); !done) return tl::unexpected(done.error());
  const std::optional<std::uint64_t> before = counts->mmu_bytes();
  const std::size_t setup = setup_steps(program);
  if (auto done = run(1, setup + pages); !done) return tl::unexpected(done.error());
  const std::optional<std::uint64_t> after = counts->mmu_bytes();
  const auto ended = engine.end();
  if (!ended || !before || !after) return tl::unexpected(std::string("nothing was counted"));
  return static_cast<double>(*after - *before) / static_cast<double>(pages);
}

}  // namespace

std::vector<Row> memory_of_pages(const Options& options) {
  auto impl = props::make_engine("impl", /*seed=*/1);
  auto hosted = props::make_engine("hosted:6.12", /*seed=*/1);
  std::vector<Row> rows;
  for (const Mode& mode : modes) {
    Row row;
    row.name = fmt::format("memory, {}", mode.name);
    row.what = "bytes of impl for a mapped page over those of hosted:6.12, slot included";
    row.goal = 1;
    row.at_most = true;
    if (!hosted || !impl) {
      row.absent = "hosted:6.12: " + (hosted ? impl.error().message : hosted.error().message);
      rows.push_back(std::move(row));
      continue;
    }
    const std::uint64_t pages = 4096 / options.scale;
    const auto program = fault_and_zap(mode, pages, 1);
    double ours = 0, theirs = 0;
    rows.push_back(repeat(std::move(row), options, [&]() -> tl::expected<double, std::string> {
      const auto of_kernel = bytes_a_page(**hosted, program, pages);
      if (!of_kernel) return of_kernel;
      const auto of_impl = bytes_a_page(**impl, program, pages);
      if (!of_impl) return of_impl;
      ours = *of_impl;
      theirs = *of_kernel;
      return ours / theirs;
    }));
    rows.back().note = fmt::format("impl {:.1f} bytes a page, the kernel {:.1f}", ours, theirs);
  }
  return rows;
}

}  // namespace lockstep::bench
