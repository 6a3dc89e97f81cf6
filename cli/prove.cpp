// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep prove`: theorems for all inputs, each with its twin.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "cli/budget.h"
#include "cli/interrupt.h"
#include "cli/json_output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "jobs/prove.h"
#include "jobs/refinement.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::vector<std::string> names;
  std::vector<std::string> only;
  std::string time = "20s";
  unsigned memory = 1024;
  std::string dump;
  std::string programs;
  std::string failures = "failures";
  bool no_second_opinion = false;
  bool twins = false;
  bool refinement = false;
  unsigned depth = 3;
  JsonOutput json;
};

constexpr auto footer =
    "NAME is a theorem or a subject of theorems; see `lockstep list theorems`. A\n"
    "theorem speaks of the source that spec and impl execute, for all inputs. Its\n"
    "twin is the same statement about a rule broken on purpose and must be\n"
    "refuted. Each counterexample is executed: the compiled functions on its\n"
    "numbers, or a protocol step by step. Where our language can say it, it\n"
    "becomes a program, too, which spec and impl must pass. Seconds are CPU time\n"
    "of Z3 for both.\n"
    "\n"
    "Results: proved; refuted; bounded(k), nothing said beyond k steps; timeout;\n"
    "unknown; vacuous, no input meets the precondition.\n"
    "\n"
    "Exit: 0 if all are proved and all twins refuted, 1 FAIL, 2 wrong usage, 3 no\n"
    "verdict: no Z3 in this build, time or memory ran out.\n"
    "\n"
    "--refinement is no theorem: it enumerates programs of at most --depth\n"
    "commands on a machine of two vCPUs and four pages, checks every answer\n"
    "against the model and every invariant after each command, and says the bound.\n"
    "\n"
    "Examples:\n"
    "  lockstep prove\n"
    "  lockstep prove --refinement --depth 4\n"
    "  lockstep prove permissions --twins\n"
    "  lockstep prove --only mmio-spte-round-trip --dump queries\n";

/// Programs on a small machine in place of theorems.
int run_refinement(const Options& options) {
  const auto& json = options.json;
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  if (!options.names.empty() || !options.only.empty()) {
    return input_error(json.target(), "--refinement takes no names of theorems");
  }
  ProgressLine line;
  jobs::RefinementOptions job;
  job.depth = options.depth;
  job.stop = &stop_on_interrupt();
  job.progress = [&line](std::string_view text) { line.show(std::string(text)); };
  const auto started = std::chrono::steady_clock::now();
  const auto report = jobs::refine(job);
  line.clear();
  for (const auto& row : report.rows) fmt::print(json.page(), "{}", jobs::text_row(report, row));
  const auto verdict = jobs::verdict_of(report);
  const auto reason = jobs::reason_of(report);
  fmt::print(json.page(), "{}: {}\n", props::headline(verdict), reason);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  auto object = base_object(verdict, seconds.count(), reason);
  object["findings"] = nlohmann::json::array();
  for (const auto& row : report.rows) {
    if (row.verdict != props::Verdict::fail) continue;
    object["findings"].push_back({{"engine", "impl"},
                                  {"kind", "refinement"},
                                  {"invariant", nullptr},
                                  {"title", row.machine + ": " + row.reason},
                                  {"program", ""},
                                  {"new", true}});
  }
  object["theorems"] = nlohmann::json::array();
  object["refinement"] = jobs::json_rows(report);
  return json.write(object, verdict);
}

int run(const Options& options) {
  if (options.refinement) return run_refinement(options);
  const auto& json = options.json;
  const auto time = parse_budget(options.time);
  if (!time) return input_error(json.target(), "--time-limit: " + time.error());
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  auto names = options.names;
  names.insert(names.end(), options.only.begin(), options.only.end());
  auto chosen = jobs::choose_theorems(names);
  if (!chosen) return input_error(json.target(), chosen.error());

  ProgressLine line;
  jobs::ProveOptions job;
  job.theorems = *std::move(chosen);
  job.limits = {.time = *time, .memory_mib = options.memory, .stop = &stop_on_interrupt()};
  job.second_opinion = !options.no_second_opinion;
  job.dump = options.dump;
  job.programs = options.programs;
  job.failures = options.failures;
  job.progress = [&line](std::string_view text) { line.show(std::string(text)); };
  job.done = [&](const jobs::TheoremRow& row) {
    line.clear();
    fmt::print(json.page(), "{}{}{}", jobs::text_row(row), jobs::text_details(row),
               options.twins && jobs::holds(row) ? jobs::text_twin(row) : "");
    std::fflush(json.page());
  };
  const auto report = jobs::prove(job);
  line.clear();
  if (!report) return input_error(json.target(), report.error());
  const auto verdict = jobs::verdict_of(*report);
  const auto reason = jobs::reason_of(*report);
  fmt::print(json.page(), "{}{}{}{}\n", jobs::text_summary(*report), props::headline(verdict),
             reason.empty() ? "" : ": ", reason);
  auto object = base_object(verdict, report->seconds, reason);
  object["findings"] = jobs::json_findings(*report);
  object["theorems"] = jobs::json_rows(*report);
  object["solver"] = report->solver;
  object["solver_seconds"] = report->cpu_seconds;
  object["second_solver_seconds"] = report->second_seconds;
  return json.write(object, verdict);
}

}  // namespace

void add_prove(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("prove", "Prove theorems with Z3, refute their twins");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("NAME", options->names, "Which theorems or subjects (default: all)");
  verb->add_option("--only", options->only, "The same as NAME")->type_name("NAME");
  verb->add_option("--time-limit", options->time, "CPU time of one query: 500ms, 20s")
      ->type_name("TIME")
      ->capture_default_str();
  verb->add_option("--memory-limit", options->memory, "Of one query, in MiB")
      ->type_name("N")
      ->check(CLI::Range(1u, 1u << 20))
      ->capture_default_str();
  verb->add_flag("--twins", options->twins, "Show the counterexample of each twin");
  verb->add_option("--dump", options->dump, "Write every query as SMT-LIB")->type_name("DIR");
  verb->add_option("--programs", options->programs, "Write the programs of twins")
      ->type_name("DIR");
  verb->add_option("--failures", options->failures, "Folder for programs of refuted theorems")
      ->type_name("DIR")
      ->capture_default_str();
  verb->add_flag("--refinement", options->refinement,
                 "impl against the model: every short program on a small machine");
  verb->add_option("--depth", options->depth, "Commands of such a program")
      ->type_name("K")
      ->check(CLI::Range(1u, 6u))
      ->capture_default_str();
  verb->add_flag("--no-second-opinion", options->no_second_opinion, "Do not ask cvc5");
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = run(*options); });
}

}  // namespace lockstep::cli
