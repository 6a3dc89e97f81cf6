// SPDX-License-Identifier: GPL-2.0-or-later
/// Schedules a second, on one core: of a model, and of a kernel's CPUs.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "bench/rows.h"
#include "hw/hosted/build/prepare.h"
#include "jobs/fresh_process.h"
#include "jobs/hosted_schedules.h"
#include "jobs/schedules.h"

namespace lockstep::bench {
namespace {

struct Measured {
  Row row;
  double wanted = 0;            ///< schedules a second
  std::uint64_t schedules = 0;  ///< of each repetition
  std::string system;
  jobs::OpenSystems open = {};
};

Row measure(Measured what, const Options& options) {
  jobs::SchedulesOptions search;
  search.budget = std::chrono::hours(1);
  search.schedules = std::max<std::uint64_t>(what.schedules / options.scale, 1);
  search.failures =
      std::filesystem::temp_directory_path() / fmt::format("lockstep-bench-{}", getpid());
  search.systems = {what.system};
  search.open = std::move(what.open);
  double best = 0;
  Row row = repeat(std::move(what.row), options, [&]() -> tl::expected<double, std::string> {
    // With what opens them, and what compares them.
    const double before = cpu_seconds_of_children();
    const auto report = jobs::run_schedules(search);
    const double spent = cpu_seconds_of_children() - before;
    ++search.seed;
    if (report.verdict != props::Verdict::pass) return tl::unexpected(report.reason);
    const double rate = static_cast<double>(search.schedules) / spent;
    best = std::max(best, rate);
    return rate / what.wanted;
  });
  if (!row.ratios.empty()) row.note = fmt::format("best: {:.1f} k schedules/s", best / 1e3);
  return row;
}

}  // namespace

std::vector<Row> schedules_of_models(const Options& options) {
  Measured what{.row = {}, .wanted = 100e3, .schedules = 400'000, .system = "page-caches"};
  what.row.name = "schedules, cache protocol";
  what.row.what = "schedules of the page caches for each CPU second, over 100 k";
  what.row.goal = 1;
  return {measure(std::move(what), options)};
}

std::vector<Row> schedules_of_kernels(const Options& options) {
  const std::string hosted = "hosted:6.1";
  Measured what{.row = {}, .wanted = 2e3, .schedules = 10'000, .system = "tdp-mmu"};
  what.row.name = "schedules, " + hosted;
  what.row.what = "schedules of faults on that kernel's CPUs for each CPU second, over 2 k";
  what.row.goal = 1;
  // What compiles the kernel is not what is measured.
  const auto image = hw::hosted::prepare_hosted(*jobs::scheduled_name(hosted), {});
  if (!image) {
    what.row.absent = hosted + ": " + image.error().message;
    return {what.row};
  }
  what.open = jobs::open_audited(*image, hosted);
  return {measure(std::move(what), options)};
}

}  // namespace lockstep::bench
