// SPDX-License-Identifier: GPL-2.0-or-later
#include "bench/table.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>

#include "bench/rows.h"

namespace lockstep::bench {
namespace {

/// Keeps the quotient that each repetition counted.
class Keeper : public benchmark::BenchmarkReporter {
 public:
  explicit Keeper(Row& row) : row_(&row) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      if (run.error_occurred) {
        row_->absent = run.error_message;
      } else if (const auto found = run.counters.find("quotient"); found != run.counters.end()) {
        row_->ratios.push_back(found->second.value);
      }
    }
  }

 private:
  Row* row_;
};

}  // namespace

Ratio summarize(std::vector<double> values) {
  std::ranges::sort(values);
  return {values.front(), values[values.size() / 2], values.back()};
}

bool holds(const Row& row) {
  if (row.ratios.empty()) return false;
  const double median = summarize(row.ratios).median;
  return row.at_most ? median <= row.goal : median >= row.goal;
}

props::Verdict verdict_of(const std::vector<Row>& rows) {
  const auto misses = [](const Row& row) { return !row.ratios.empty() && !holds(row); };
  if (std::ranges::any_of(rows, misses)) return props::Verdict::fail;
  const auto ran = [](const Row& row) { return !row.ratios.empty(); };
  if (rows.empty() || !std::ranges::all_of(rows, ran)) return props::Verdict::no_verdict;
  return props::Verdict::pass;
}

std::string reason_of(const std::vector<Row>& rows) {
  const auto ran = std::ranges::count_if(rows, [](const Row& row) { return !row.ratios.empty(); });
  const auto held = std::ranges::count_if(rows, holds);
  return fmt::format("{} of {} rows ran, {} reach their goal", ran, rows.size(), held);
}

std::string text(const std::vector<Row>& rows) {
  std::string out = fmt::format("{:<34} {:>7} {:>7} {:>7} {:>8}  {}\n", "row", "min", "median",
                                "max", "goal", "holds");
  for (const Row& row : rows) {
    const std::string goal = fmt::format("{}{:g}", row.at_most ? "<= " : ">= ", row.goal);
    if (row.ratios.empty()) {
      out += fmt::format("{:<34} {:>7} {:>7} {:>7} {:>8}  absent\n", row.name, "-", "-", "-", goal);
      out += fmt::format("    {}\n    {}\n", row.what, row.absent);
      continue;
    }
    const Ratio ratio = summarize(row.ratios);
    out += fmt::format("{:<34} {:>7.3g} {:>7.3g} {:>7.3g} {:>8}  {}\n", row.name, ratio.min,
                       ratio.median, ratio.max, goal, holds(row) ? "yes" : "NO");
    out += fmt::format("    {}\n", row.what);
    if (!row.note.empty()) out += fmt::format("    {}\n", row.note);
  }
  return out;
}

nlohmann::json json_rows(const std::vector<Row>& rows) {
  auto all = nlohmann::json::array();
  for (const Row& row : rows) {
    nlohmann::json object = {
        {"name", row.name},       {"what", row.what},     {"goal", row.goal},
        {"at_most", row.at_most}, {"absent", row.absent}, {"note", row.note},
        {"ratio", nullptr},       {"holds", nullptr},     {"repetitions", row.ratios.size()}};
    if (!row.ratios.empty()) {
      const Ratio ratio = summarize(row.ratios);
      object["ratio"] = {{"min", ratio.min}, {"median", ratio.median}, {"max", ratio.max}};
      object["holds"] = holds(row);
    }
    all.push_back(std::move(object));
  }
  return all;
}

Row repeat(Row row, const Options& options,
           const std::function<tl::expected<double, std::string>()>& quotient) {
  if (options.progress) options.progress(row.name);
  benchmark::RegisterBenchmark(row.name.c_str(),
                               [&](benchmark::State& state) {
                                 for (auto _ : state) {
                                   const auto value = quotient();
                                   if (!value) {
                                     state.SkipWithError(value.error().c_str());
                                     break;
                                   }
                                   state.counters["quotient"] = *value;
                                 }
                               })
      ->Iterations(1)
      ->Repetitions(static_cast<int>(options.repetitions))
      ->UseRealTime();
  Keeper keeper(row);
  benchmark::RunSpecifiedBenchmarks(&keeper, "all");
  benchmark::ClearRegisteredBenchmarks();
  // Half a measurement is none.
  if (!row.absent.empty()) row.ratios.clear();
  return row;
}

const std::vector<Bench>& benches() {
  static const std::vector<Bench> all = {
      {"impl-hosted", "faults and zaps of impl against the kernel's own MMU", impl_against_hosted},
      {"impl-threads", "faults of impl on two threads against one", impl_threads},
      {"side-by-side", "commands of spec and impl in lockstep, a second and core", side_by_side},
      {"mapped-pages", "... at 100,000 mapped pages against 100", mapped_pages},
      {"memory", "bytes of impl for each mapped page against the kernel's", memory_of_pages},
      {"schedules", "schedules of the cache protocol, a second and core", schedules_of_models},
      {"hosted-schedules", "... of faults on the CPUs of a kernel", schedules_of_kernels},
      {"kvm-ioctl", "the kvm engine against a loop of ioctls", kvm_against_ioctl},
  };
  return all;
}

}  // namespace lockstep::bench
