// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep run`: random programs on engines side by side.
#include <fmt/format.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>

#include <CLI/CLI.hpp>
#include <memory>
#include <random>
#include <thread>

#include "cli/budget.h"
#include "cli/engines.h"
#include "cli/interrupt.h"
#include "cli/json_output.h"
#include "cli/run_matrix.h"
#include "cli/run_tables.h"
#include "cli/schedules.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "jobs/hosted_schedules.h"
#include "jobs/run_report.h"
#include "props/campaign.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::string property = "side-by-side";
  std::vector<std::string> engines;
  std::string budget = "60s";
  std::string seed;
  bool seeded = false;
  unsigned jobs = 0;
  std::uint64_t schedules = 0;
  std::string failures = "failures";
  JsonOutput json;
};

constexpr auto footer =
    "Without --engines every engine runs that this machine can run; those it\n"
    "cannot are named with the reason. An engine that was asked for and cannot\n"
    "run makes the verdict `no verdict`. Ctrl-C ends the run and keeps what it\n"
    "found.\n"
    "\n"
    "Exit: 0 pass, 1 FAIL, 2 wrong usage, 3 no verdict.\n"
    "\n"
    "Examples:\n"
    "  lockstep run\n"
    "  lockstep run --engines spec,kvm --budget 8h --jobs 4\n"
    "  lockstep run --property page-walk-matrix --engines spec,impl,kvm\n"
    "  lockstep run --property failed-allocations --engines spec,hosted:6.12\n"
    "  lockstep run --property parallel --engines spec,kvm\n"
    "  lockstep run --property parallel --engines spec,hosted:6.1\n"
    "  lockstep run --engines spec,qemu:6.1 --budget 10m --jobs 1\n"
    "  lockstep run --property schedules --budget 20s\n"
    "  lockstep run --property schedules --schedules 10000000 --budget 1h\n"
    "  lockstep run --property tables-on-hardware --budget 20s\n"
    "  lockstep run --seed 42 --json result.json\n";

/// A whole number in 64 bits, all of the word.
std::optional<std::uint64_t> parse_seed(const std::string& word) {
  std::uint64_t value = 0;
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, value);
  return error == std::errc{} && rest == end ? std::optional(value) : std::nullopt;
}

std::uint64_t draw_seed() {
  std::random_device device;
  // Short enough to be typed again.
  return device() & 0xffff'ffffu;
}

std::string progress_line(const props::Progress& progress) {
  const double rate =
      progress.seconds > 0 ? static_cast<double>(progress.commands) / progress.seconds : 0;
  return fmt::format("{:.0f} s  {} cases  {} commands ({:.0f}/s)  {} findings  {}",
                     progress.seconds, progress.cases, progress.commands, rate, progress.findings,
                     progress.phase);
}

/// Why no program could be saved there; none if it can.
std::optional<std::string> unwritable_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && access(folder.c_str(), W_OK | X_OK) != 0) {
    error = std::error_code(errno, std::generic_category());
  }
  if (!error) return std::nullopt;
  return fmt::format("cannot write to '{}': {}", folder, error.message());
}

int run(const Options& options) {
  const auto& json = options.json;
  const auto budget = parse_budget(options.budget);
  if (!budget) return input_error(json.target(), "--budget: " + budget.error());
  const auto parsed = parse_seed(options.seed);
  if (options.seeded && !parsed) {
    return input_error(
        json.target(),
        fmt::format("--seed: '{}' is no whole number from 0 to 2^64-1", options.seed));
  }
  const std::uint64_t seed = options.seeded ? *parsed : draw_seed();
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  if (options.property == "failed-allocations" &&
      std::none_of(options.engines.begin(), options.engines.end(),
                   [](const std::string& name) { return name.starts_with("hosted"); })) {
    return input_error(json.target(),
                       "failed-allocations needs a hosted engine: --engines spec,hosted:6.12");
  }
  if (options.schedules != 0 && options.property != "schedules") {
    return input_error(json.target(), "--schedules applies to --property schedules only");
  }
  if (options.property == "page-walk-matrix") {
    return run_matrix(
        {.engines = options.engines, .budget = *budget, .seed = seed, .failures = options.failures},
        json);
  }
  if (options.property == "tables-on-hardware") {
    return run_tables(
        {.engines = options.engines, .budget = *budget, .seed = seed, .failures = options.failures},
        json);
  }
  if (options.property.starts_with("schedules")) {
    auto engine = engine_of_schedules(options.engines);
    if (!engine) return input_error(json.target(), engine.error());
    if (options.jobs != 0) {
      return input_error(json.target(),
                         "--jobs does not apply to schedules: one process runs them");
    }
    if (auto why = unwritable_folder(options.failures)) {
      return input_error(json.target(), "--failures: " + *why);
    }
    return run_schedules({.exhaustive = options.property != "schedules",
                          .budget = *budget,
                          .schedules = options.schedules,
                          .seed = seed,
                          .failures = options.failures,
                          .engine = *std::move(engine)},
                         json);
  }
  auto asked = options.engines;
  if (options.property == "parallel") {
    // Blocks of hosted kernels run under a schedule: an image of its own.
    for (std::string& engine : asked) {
      if (auto scheduled = jobs::scheduled_name(engine)) engine = *std::move(scheduled);
    }
  }
  const auto engines = choose_engines(asked, props::make_engine);
  if (!engines) return input_error(json.target(), engines.error());

  ProgressLine line;
  props::CampaignOptions campaign;
  campaign.engines = engines->names;
  campaign.budget = *budget;
  campaign.seed = seed;
  if (options.property == "failed-allocations") campaign.cases_of = props::Cases::every_allocation;
  if (options.property == "parallel") campaign.cases_of = props::Cases::parallel;
  campaign.jobs =
      options.jobs != 0 ? options.jobs : std::max(1u, std::thread::hardware_concurrency());
  campaign.failures = options.failures;
  campaign.stop = &stop_on_interrupt();
  campaign.progress = [&line](const props::Progress& progress) {
    line.show(progress_line(progress));
  };
  campaign.found = [&line](const props::CampaignFinding& found) {
    line.clear();
    fmt::print(stderr, "{} {}: {}{}\n", red(found.shrunk ? "shrunk" : "FAIL"), found.finding.engine,
               found.finding.title, found.path.empty() ? "" : "\n  " + found.path.string());
  };

  if (auto why = unwritable_folder(options.failures)) {
    return input_error(json.target(), "--failures: " + *why);
  }
  const auto notes = not_run_lines(*engines);
  fmt::print(json.page(), "seed {}, engines {}, {} jobs, {}\n{}", campaign.seed,
             fmt::join(campaign.engines, ", "), campaign.jobs, options.budget, notes);
  std::fflush(json.page());
  auto result = props::run_campaign(campaign);
  line.clear();
  if (result.verdict == props::Verdict::pass && !engines->not_run.empty()) {
    // The default asks for real KVM too: without it the main thing was not run.
    result.verdict = props::Verdict::no_verdict;
    result.reason =
        fmt::format("{} did not run; {} agree ({}). Ask for them alone: --engines {}",
                    engines->not_run.front().engine, fmt::join(campaign.engines, " and "),
                    result.reason, fmt::join(campaign.engines, ","));
  }
  fmt::print(json.page(), "{}", jobs::text_report(result));
  // Said again: the first line of a long page is not what is read last.
  if (!notes.empty()) fmt::print(json.page(), "{}", notes);

  auto object = jobs::json_report(result);
  object["not_run"] = nlohmann::json::array();
  for (const auto& [engine, reason] : engines->not_run) {
    object["not_run"].push_back({{"name", engine}, {"reason", reason}});
  }
  return json.write(object, result.verdict);
}

}  // namespace

void add_run(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("run", "Run random programs on engines side by side");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("--property", options->property, "What to check; see `lockstep list properties`")
      ->type_name("NAME")
      ->check(CLI::IsMember({"side-by-side", "page-walk-matrix", "failed-allocations", "parallel",
                             "schedules", "schedules-exhaustive", "tables-on-hardware"}))
      ->capture_default_str();
  verb->add_option("--engines", options->engines,
                   "Engines, with commas: spec, impl, kvm, hosted:6.12, qemu:6.1")
      ->delimiter(',')
      ->type_name("NAME,...");
  verb->add_option("--budget", options->budget, "How long: 60s, 5m, 8h")
      ->type_name("TIME")
      ->capture_default_str();
  auto* seed =
      verb->add_option("--seed", options->seed, "Draw the same programs again")->type_name("N");
  verb->add_option("--jobs", options->jobs, "Worker processes (default: one a processor)")
      ->type_name("N")
      ->check(CLI::Range(1u, 1024u));
  verb->add_option("--schedules", options->schedules,
                   "With --property schedules: so many of each system; no verdict if the budget\n"
                   "ends before")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  verb->add_option("--failures", options->failures, "Folder for programs that fail")
      ->type_name("DIR")
      ->capture_default_str();
  options->json.add_to(*verb);
  verb->callback([options, seed, &exit] {
    options->seeded = seed->count() > 0;
    exit = run(*options);
  });
}

}  // namespace lockstep::cli
