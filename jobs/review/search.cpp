// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/search.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "props/generator.h"
#include "props/reduce.h"
#include "props/shrink.h"

namespace lockstep::jobs::review {
namespace {

using Clock = std::chrono::steady_clock;

/// So often may the base fail beside one finding before it is the base's.
constexpr unsigned most_masked = 8;

}  // namespace

std::vector<NamedProgram> random_programs(const Workbench& bench, std::uint64_t first,
                                          std::uint64_t count) {
  std::vector<NamedProgram> programs;
  const auto platform = bench.platform(Workbench::patched_name);
  if (!platform) return programs;
  const auto options = props::generator_options(std::span<const Platform>(&*platform, 1));
  for (auto index = first; index < first + count; ++index) {
    programs.push_back({fmt::format("random program {} of seed {}", index, bench.seed()),
                        props::generate(options, bench.seed(), index)});
  }
  return programs;
}

SearchResult search(const Workbench& bench, const Bias& bias, const SearchOptions& options) {
  SearchResult result;
  const auto begun = Clock::now();
  std::atomic<bool> stop{false};
  std::set<std::string> told;
  std::map<std::string, unsigned> masked;
  Clock::time_point enough = Clock::time_point::max();
  props::CampaignOptions campaign;
  campaign.engines = {Workbench::patched_name};
  campaign.budget = options.budget;
  campaign.seed = bench.seed();
  campaign.jobs = options.jobs;
  campaign.failures = options.failures;
  campaign.canary = false;
  campaign.stop = &stop;
  campaign.factory = bench.factory(/*step_by_step=*/false);
  campaign.wanted = [&bias](const Program& program) { return bias.wants(program); };
  // What ends the cases is a detection, not the number of the base's findings.
  campaign.max_findings = ~std::size_t{0};
  campaign.progress = [&](const props::Progress& progress) {
    result.commands = progress.commands;
    if (options.progress) {
      options.progress(fmt::format("random programs: {} cases, {} commands, {:.0f} s",
                                   progress.cases, progress.commands, progress.seconds));
    }
    if (options.stop != nullptr && options.stop->load()) stop = true;
    if (Clock::now() >= enough) stop = true;
  };
  campaign.found = [&](const props::CampaignFinding& found) {
    if (stop || told.contains(found.finding.key())) return;
    std::error_code ignored;
    // It is saved again with both kernels beside each other.
    std::filesystem::remove(found.path, ignored);
    const auto on_base = fails_on(bench, Workbench::base_name, found.program);
    if (on_base && !shows_first(found.finding, *on_base)) {
      // Alike, it is known; otherwise another program may show it without the base's.
      ++result.masked;
      result.masked_title = found.finding.title;
      if (++masked[found.finding.key()] >= most_masked) told.insert(found.finding.key());
      return;
    }
    auto again = fails_on(bench, Workbench::patched_name, found.program);
    if (!again) {
      result.unconfirmed = found.finding.title;
      return;
    }
    told.insert(found.finding.key());
    result.failures.push_back(
        {fmt::format("random program {} of seed {}", found.case_index, bench.seed()), found.program,
         *std::move(again)});
    if (result.failures.size() == 1) enough = Clock::now() + options.after_first;
    if (result.failures.size() >= options.most) stop = true;
  };
  const auto ran = props::run_campaign(campaign);
  result.cases = ran.cases;
  result.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  const double wall = std::chrono::duration<double>(options.budget).count();
  // Nothing but an engine that gives up ends the cases before their time.
  if (!stop && ran.case_seconds < wall) result.broken = ran.reason;
  return result;
}

Program reduce_failure(const Workbench& bench, const PairsResult::Failure& failure,
                       std::chrono::milliseconds budget, const std::function<bool()>& stop) {
  props::ReduceSetup setup;
  setup.tester = bench.setup({Workbench::patched_name});
  setup.budget = budget;
  setup.stop = stop;
  const auto reduced =
      props::reduce(failure.met, failure.finding, setup, [] { return std::vector<Program>(); });
  if (!reduced.confirmed || reduced.programs.size() != 1) return failure.met;
  if (fails_on(bench, Workbench::base_name, reduced.programs.front())) return failure.met;
  return reduced.programs.front();
}

}  // namespace lockstep::jobs::review
