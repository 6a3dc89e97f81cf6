// SPDX-License-Identifier: GPL-2.0-or-later
/// impl against the kernel's own MMU: the same programs through the same contract,
/// on the same software processor.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "bench/fault_program.h"
#include "bench/rows.h"
#include "props/engine_factory.h"
#include "spec/engine_insides.h"

namespace lockstep::bench {
namespace {

/// From the first command to the end of teardown.
struct Time {
  double whole = 0;  ///< seconds, the processor's and the contract's own included
  double mmu = 0;    ///< ticks of the MMU alone
};

/// What was shown goes to `shown`.
tl::expected<Time, std::string> time_of(Engine& engine, const Program& program,
                                        std::vector<Observation>& shown) {
  shown.clear();
  shown.reserve(program.steps.size());
  const auto say = [&](const EngineError& error) {
    return tl::unexpected(fmt::format("{}: {}", engine.name(), error.message));
  };
  auto* const timed = dynamic_cast<TimesMmu*>(&engine);
  if (timed == nullptr) return tl::unexpected(std::string("the engine does not time its MMU"));
  timed->time_mmu(true);
  const std::uint64_t before = timed->mmu_ticks();
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
  const Time time{seconds_since(start), static_cast<double>(timed->mmu_ticks() - before)};
  timed->time_mmu(false);
  if (!std::holds_alternative<Done>(*end)) {
    return tl::unexpected(fmt::format("{}: {}", engine.name(), print(*end)));
  }
  return time;
}

/// The least of some runs after a first one, which finds no memory in use yet:
/// whoever else has the processor meanwhile is in all but that.
tl::expected<Time, std::string> best_of(Engine& engine, const Program& program,
                                        std::vector<Observation>& shown) {
  constexpr unsigned runs = 4;
  auto best = time_of(engine, program, shown);
  for (unsigned run = 0; best && run < runs; ++run) {
    const auto time = time_of(engine, program, shown);
    if (!time) return time;
    best->whole = run == 0 ? time->whole : std::min(best->whole, time->whole);
    best->mmu = run == 0 ? time->mmu : std::min(best->mmu, time->mmu);
  }
  return best;
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
    row.what = "time inside the kernel, shim included, over time inside impl; with teardown";
    row.goal = 2;
    if (!hosted || !impl) {
      row.absent = "hosted:6.12: " + (hosted ? impl.error().message : hosted.error().message);
      rows.push_back(std::move(row));
      continue;
    }
    const auto program = fault_and_zap(mode, 4096 / options.scale, 4);
    std::vector<double> whole;
    rows.push_back(repeat(std::move(row), options, [&]() -> tl::expected<double, std::string> {
      std::vector<Observation> of_impl, of_hosted;
      const auto kernel = best_of(**hosted, program, of_hosted);
      if (!kernel) return tl::unexpected(kernel.error());
      const auto ours = best_of(**impl, program, of_impl);
      if (!ours) return tl::unexpected(ours.error());
      if (of_impl != of_hosted) return tl::unexpected(std::string("the two do not show the same"));
      whole.push_back(kernel->whole / ours->whole);
      return kernel->mmu / ours->mmu;
    }));
    if (whole.empty()) continue;
    const Ratio all = summarize(whole);
    rows.back().note = fmt::format(
        "{} commands each; with software processor and contract: {:.2f}, {:.2f}, {:.2f}",
        program.steps.size(), all.min, all.median, all.max);
  }
  unsetenv("LOCKSTEP_INVARIANTS");
  return rows;
}

}  // namespace lockstep::bench
