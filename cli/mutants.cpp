// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep mutants`: seeded defects, and whether random programs find them.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "cli/budget.h"
#include "cli/corpus.h"
#include "cli/interrupt.h"
#include "cli/json_output.h"
#include "cli/schedules.h"
#include "cli/terminal.h"
#include "cli/tools.h"
#include "cli/verbs.h"
#include "jobs/impl_mutants.h"
#include "jobs/kernel_mutants.h"
#include "jobs/mutant_results.h"
#include "spec/text_suggest.h"

namespace lockstep::cli {
namespace {

namespace kernels = hw::kernels;

struct Options {
  std::string kernel;
  std::vector<std::string> names;
  std::string budget = "20s";
  std::uint64_t seed = 1;
  std::string failures = "failures";
  bool list = false;
  bool schedules = false;
  JsonOutput json;
};

constexpr auto footer =
    "Without --kernel, each mutant is a defect of impl, which only the program\n"
    "lockstep-mutants has (built beside this one; impl/mutants.h).\n"
    "\n"
    "With it, each is a semantic patch (hw/kernels/mutants) that gives KVM one\n"
    "defect. The kernel is built with it, and random programs run on it side by\n"
    "side with spec until one finds what the kernel without it does not show;\n"
    "then the corpus, for what those did not detect.\n"
    "`reached`: a line that the mutant changes has run. --budget is CPU time for\n"
    "each mutant; where only schedules show it, for each system of threads.\n"
    "Needs Coccinelle and what a kernel's build needs.\n"
    "\n"
    "With --schedules, each is a defect between threads of a system (list systems):\n"
    "found under random schedules, made small, and run again 100 times from its text.\n"
    "\n"
    "Exit: 0 if all that were reached were detected (or their files say why none\n"
    "can be yet), 1 FAIL, 2 wrong usage, 3 no verdict: none was reached, or a tool\n"
    "is missing.\n"
    "\n"
    "Examples:\n"
    "  lockstep mutants --list\n"
    "  lockstep mutants role-forgets-access --budget 5s\n"
    "  lockstep mutants --schedules\n"
    "  lockstep mutants --schedules missing-srcu; lockstep replay failures/FILE\n"
    "  lockstep mutants --kernel 6.1 --list\n"
    "  lockstep mutants --kernel 6.1 tdp-zap-without-flush --budget 60s\n"
    "  lockstep mutants --kernel ~/linux --json mutants.json\n";

/// The mutants of these names, in their order; all without a name.
template <typename Mutant>
tl::expected<std::vector<Mutant>, std::string> choose(std::vector<Mutant> all,
                                                      const std::vector<std::string>& names) {
  if (names.empty()) return all;
  std::vector<Mutant> chosen;
  std::vector<std::string_view> valid;
  for (const auto& mutant : all) valid.push_back(mutant.name);
  for (const auto& name : names) {
    const auto found = std::ranges::find(all, name, &Mutant::name);
    if (found == all.end()) {
      const auto near = spec::text::nearest(name, valid);
      return tl::unexpected(
          fmt::format("no mutant '{}'; see `lockstep mutants --list`{}", name,
                      near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    }
    chosen.push_back(*found);
  }
  return chosen;
}

int list(const Options& options, const std::vector<kernels::Mutant>& mutants) {
  auto rows = nlohmann::json::array();
  for (const auto& mutant : mutants) {
    fmt::print(options.json.page(), "{}\n    {}\n", mutant.name, mutant.title);
    rows.push_back({{"name", mutant.name},
                    {"title", mutant.title},
                    {"breaks", mutant.breaks},
                    {"history", mutant.history},
                    {"needs", mutant.needs},
                    {"reached_by", mutant.reached_by}});
  }
  auto object = base_object(props::Verdict::pass, 0);
  object["mutants"] = std::move(rows);
  return options.json.write(object, props::Verdict::pass);
}

int failed(const Options& options, const kernels::KernelError& error) {
  if (error.cause == kernels::KernelError::Cause::input) {
    return input_error(options.json.target(), error.message);
  }
  fmt::print(stderr, "lockstep: {}\n", error.message);
  const auto verdict = props::Verdict::no_verdict;
  return options.json.write(base_object(verdict, 0, error.message), verdict);
}

void show_row(ProgressLine& line, const jobs::MutantRow& row) {
  line.clear();
  const bool without = row.state == jobs::MutantRow::State::no_verdict;
  fmt::print(stderr, "{}: {}{} ({:.1f} of at most {:.0f} CPU s)\n", row.name,
             row.detected                 ? "detected, "
             : without                    ? "no verdict: "
             : row.reached.value_or(true) ? "NOT detected"
                                          : "not reached",
             row.detected || without ? row.finding : "", row.cpu_seconds, row.limit_seconds);
}

/// Defects that `impl` cannot have, and why.
std::string absent_page() {
  std::string text = "\ncannot be in impl\n";
  for (const auto& mutant : props::absent_impl_mutants()) {
    text += fmt::format("  {} ({})\n    {}\n", mutant.name, mutant.history, mutant.reason);
  }
  return text;
}

nlohmann::json absent_rows() {
  auto rows = nlohmann::json::array();
  for (const auto& mutant : props::absent_impl_mutants()) {
    rows.push_back({{"name", mutant.name}, {"history", mutant.history}, {"reason", mutant.reason}});
  }
  return rows;
}

/// `impl` itself: in the build that has its defects, or handed over to it.
int run_impl(const Options& options, std::chrono::milliseconds budget) {
  const auto& json = options.json;
  auto chosen = choose(props::impl_mutants(), options.names);
  if (!chosen) return input_error(json.target(), chosen.error());
  if (options.list) {
    auto rows = nlohmann::json::array();
    for (const auto& mutant : *chosen) {
      fmt::print(json.page(), "{}\n    {} ({})\n", mutant.name, mutant.title, mutant.history);
      rows.push_back({{"name", mutant.name}, {"title", mutant.title}, {"history", mutant.history}});
    }
    if (options.names.empty()) fmt::print(json.page(), "{}", absent_page());
    auto object = base_object(props::Verdict::pass, 0);
    object["mutants"] = std::move(rows);
    object["absent"] = absent_rows();
    return json.write(object, props::Verdict::pass);
  }
  if (!props::has_impl_mutants()) {
    const auto program = program_with_mutants();
    std::vector<std::string> words = {program.string(), "mutants",
                                      "--budget",       options.budget,
                                      "--seed",         std::to_string(options.seed),
                                      "--failures",     options.failures};
    if (!json.target().empty()) words.insert(words.end(), {"--json", json.target()});
    words.insert(words.end(), options.names.begin(), options.names.end());
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    if (!program.empty()) execv(program.c_str(), arguments.data());
    const auto verdict = props::Verdict::no_verdict;
    const std::string why = "no program lockstep-mutants beside this one; build that target";
    fmt::print(stderr, "lockstep: {}\n", why);
    return json.write(base_object(verdict, 0, why), verdict);
  }
  ProgressLine line;
  jobs::ImplMutantsOptions job;
  job.mutants = *std::move(chosen);
  job.budget = budget;
  job.seed = options.seed;
  job.failures = options.failures;
  job.corpus = source_tree() / "corpus";
  job.stop = &stop_on_interrupt();
  job.progress = [&line](std::string_view text) { line.show(std::string(text)); };
  job.done = [&line](const jobs::MutantRow& row) { show_row(line, row); };
  const auto report = jobs::run_impl_mutants(job);
  line.clear();
  if (!report) return input_error(json.target(), report.error());
  fmt::print(json.page(), "{}", jobs::text_report(*report));
  if (options.names.empty()) fmt::print(json.page(), "{}", absent_page());
  const auto verdict = jobs::verdict_of(*report);
  auto object = base_object(verdict, report->seconds, jobs::reason_of(*report));
  object["base_findings"] = report->base_findings;
  object["mutants"] = jobs::json_rows(*report);
  object["absent"] = absent_rows();
  return json.write(object, verdict);
}

int run(const Options& options) {
  const auto& json = options.json;
  const auto budget = parse_budget(options.budget);
  if (!budget) return input_error(json.target(), "--budget: " + budget.error());
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  if (options.schedules) {
    return run_schedule_mutants({.names = options.names,
                                 .budget = *budget,
                                 .seed = options.seed,
                                 .failures = options.failures,
                                 .list = options.list},
                                json);
  }
  if (options.kernel.empty()) return run_impl(options, *budget);
  auto all = kernels::list_mutants(kernels::mutants_folder());
  if (!all) return failed(options, all.error());
  auto chosen = choose(*std::move(all), options.names);
  if (!chosen) return input_error(json.target(), chosen.error());
  if (options.list) return list(options, *chosen);

  ProgressLine line;
  jobs::KernelMutantsOptions job;
  job.kernel = options.kernel;
  job.mutants = *std::move(chosen);
  job.budget = *budget;
  job.seed = options.seed;
  job.failures = options.failures;
  job.corpus = source_tree() / "corpus";
  job.stop = &stop_on_interrupt();
  job.progress = [&line](std::string_view text) { line.show(std::string(text)); };
  job.done = [&line](const jobs::MutantRow& row) {
    line.clear();
    const bool without = row.state == jobs::MutantRow::State::no_verdict;
    fmt::print(stderr, "{}: {}{} ({:.0f} s to build, {:.1f} of at most {:.0f} CPU s)\n", row.name,
               row.state == jobs::MutantRow::State::absent    ? "absent"
               : row.state == jobs::MutantRow::State::refused ? "does not compile"
               : row.detected                                 ? "detected, "
               : without                                      ? "no verdict: "
               : row.reached.value_or(true)                   ? "NOT detected"
                                                              : "not reached",
               row.detected || without ? row.finding : "", row.build_seconds, row.cpu_seconds,
               row.limit_seconds);
  };
  const auto report = jobs::run_kernel_mutants(job);
  line.clear();
  if (!report) return failed(options, report.error());
  fmt::print(json.page(), "{}", jobs::text_report(*report));
  const auto verdict = jobs::verdict_of(*report);
  auto object = base_object(verdict, report->seconds, jobs::reason_of(*report));
  object["kernel"] = report->release;
  object["base_findings"] = report->base_findings;
  object["mutants"] = jobs::json_rows(*report);
  if (const auto cache = kernels::Cache::standard()) {
    // For reviews: what can be seen in which function.
    const auto kept = jobs::keep_results(*cache, report->release, object["mutants"]);
    if (!kept) fmt::print(stderr, "lockstep: {}\n", kept.error().message);
  }
  return json.write(object, verdict);
}

}  // namespace

void add_mutants(CLI::App& app, int& exit) {
  auto* verb =
      app.add_subcommand("mutants", "Run impl, or KVM, with seeded defects: is each detected?");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("NAME", options->names, "Which mutants (default: all)");
  verb->add_option("--kernel", options->kernel, "Version, or path of a kernel tree (default: impl)")
      ->type_name("6.1|PATH");
  verb->add_option("--budget", options->budget, "CPU time of each mutant: 20s, 5m")
      ->type_name("TIME")
      ->capture_default_str();
  verb->add_option("--seed", options->seed, "Of the programs")
      ->type_name("N")
      ->capture_default_str();
  verb->add_option("--failures", options->failures, "Folder for programs that fail")
      ->type_name("DIR")
      ->capture_default_str();
  verb->add_flag("--list", options->list, "Only name the mutants");
  verb->add_flag("--schedules", options->schedules,
                 "Defects between threads, under controlled schedules")
      ->excludes("--kernel");
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = run(*options); });
}

}  // namespace lockstep::cli
