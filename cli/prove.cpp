// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep prove`: theorems for all inputs, each with its twin.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "cli/budget.h"
#include "cli/engines.h"
#include "cli/interrupt.h"
#include "cli/json_output.h"
#include "cli/terminal.h"
#include "cli/tools.h"
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
  std::vector<std::string> engines;
  bool no_second_opinion = false;
  bool twins = false;
  bool refinement = false;
  std::optional<unsigned> depth;
  JsonOutput json;
};

constexpr unsigned default_depth = 3;

constexpr auto footer =
    "NAME is a theorem or a subject of theorems; see `lockstep list theorems`. A\n"
    "theorem speaks of the source that spec and impl execute, for all inputs. Its\n"
    "twin is the same statement about a rule broken on purpose and must be\n"
    "refuted. Each counterexample is executed: the compiled functions on its\n"
    "numbers, or a protocol step by step. Where our language can say it, it\n"
    "becomes a program, too, which spec and impl must pass, and kvm and each\n"
    "--engine where they can run it. Seconds are CPU time of Z3 for both.\n"
    "\n"
    "Results: proved; refuted; bounded(k), nothing said beyond k steps; timeout;\n"
    "unknown; vacuous, no input meets the precondition.\n"
    "\n"
    "Exit: 0 if all are proved, all twins refuted and all counterexamples replayed\n"
    "(cvc5 may leave answers open for want of time or memory; the page says which),\n"
    "1 FAIL, 2 wrong usage, 3 no verdict: no Z3 in this build, time or memory ran\n"
    "out, a replay did not end, cvc5 died or contradicts Z3.\n"
    "\n"
    "--refinement states a theorem a command and paging mode: from every state of\n"
    "a machine of two vCPUs, two slots and four pages that meets the invariants,\n"
    "with any page-table entries, one step of impl's functions answers what the\n"
    "model admits and keeps the invariants: bounded(1). Then it runs impl itself,\n"
    "from the start: every program of at most --depth commands on such a machine,\n"
    "each answer and each invariant checked: bounded(depth). Neither is in the\n"
    "default, whose theorems are not bounded.\n"
    "\n"
    "Examples:\n"
    "  lockstep prove\n"
    "  lockstep prove refinement        the theorems without the programs\n"
    "  lockstep prove --refinement --depth 4\n"
    "  lockstep prove permissions --twins\n"
    "  lockstep prove --only mmio-spte-round-trip --dump queries\n"
    "  lockstep prove --engine kvm --engine hosted:6.12\n";

struct Proved {
  jobs::ProveReport report;
  props::Verdict verdict;
  std::string reason;
};

/// Prove, print a row each, then what came out of all. The error is of input.
tl::expected<Proved, std::string> prove_all(const Options& options,
                                            std::vector<smt::Theorem> theorems) {
  const auto time = parse_budget(options.time);
  if (!time) return tl::unexpected("--time-limit: " + time.error());
  for (const auto& engine : options.engines) {
    if (engine == "spec" || engine == "impl") {
      return tl::unexpected(fmt::format("--engine {}: it takes part anyway", engine));
    }
  }
  auto engines = choose_engines(options.engines, props::make_engine);
  if (!engines) return tl::unexpected(engines.error());
  const auto& json = options.json;
  ProgressLine line;
  jobs::ProveOptions job;
  job.theorems = std::move(theorems);
  job.limits = {.time = *time, .memory_mib = options.memory, .stop = &stop_on_interrupt()};
  job.second_opinion = !options.no_second_opinion;
  for (const auto& name : engines->names) {
    if (name != "spec" && name != "impl") job.engines.push_back(name);
  }
  job.engines_asked = engines->asked;
  job.dump = options.dump;
  job.programs = options.programs;
  job.failures = options.failures;
  job.mutants = program_with_mutants();
  job.progress = [&line](std::string_view text) { line.show(std::string(text)); };
  job.done = [&](const jobs::TheoremRow& row) {
    line.clear();
    fmt::print(json.page(), "{}{}{}", jobs::text_row(row), jobs::text_details(row),
               options.twins && jobs::holds(row) ? jobs::text_twin(row) : "");
    std::fflush(json.page());
  };
  auto report = jobs::prove(job);
  line.clear();
  if (!report) return tl::unexpected(report.error());
  fmt::print(json.page(), "{}{}", jobs::text_summary(*report), not_run_lines(*engines));
  Proved proved{.report = *std::move(report), .verdict = {}, .reason = {}};
  proved.verdict = jobs::verdict_of(proved.report);
  proved.reason = jobs::reason_of(proved.report);
  return proved;
}

void add_theorems(nlohmann::json& object, const jobs::ProveReport& report) {
  object["findings"] = jobs::json_findings(report);
  object["theorems"] = jobs::json_rows(report);
  object["solver"] = report.solver;
  object["solver_seconds"] = report.cpu_seconds;
  object["second_solver_seconds"] = report.second_seconds;
}

/// The theorems of refinement, then programs on a small machine.
int run_refinement(const Options& options) {
  const auto& json = options.json;
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  if (!options.names.empty() || !options.only.empty()) {
    return input_error(json.target(), "--refinement takes no names of theorems");
  }
  const auto started = std::chrono::steady_clock::now();
  auto theorems = jobs::choose_theorems({"refinement"});
  if (!theorems) return input_error(json.target(), theorems.error());
  const auto proved = prove_all(options, *std::move(theorems));
  if (!proved) return input_error(json.target(), proved.error());
  ProgressLine line;
  jobs::RefinementOptions job;
  job.depth = options.depth.value_or(default_depth);
  job.failures = options.failures;
  job.stop = &stop_on_interrupt();
  job.progress = [&line](std::string_view text) { line.show(std::string(text)); };
  const auto report = jobs::refine(job);
  line.clear();
  for (const auto& row : report.rows) fmt::print(json.page(), "{}", jobs::text_row(report, row));
  // What failed says more than what was not decided, programs more than formulas.
  auto verdict = jobs::verdict_of(report);
  auto reason = jobs::reason_of(report);
  const bool theorems_speak =
      proved->verdict == props::Verdict::fail ||
      (proved->verdict != props::Verdict::pass && verdict == props::Verdict::pass);
  if (verdict != props::Verdict::fail && theorems_speak) {
    verdict = proved->verdict;
    reason = proved->reason;
  }
  if (verdict == props::Verdict::pass) reason = "bounded(1): a step from any state; " + reason;
  fmt::print(json.page(), "{}: {}\n", props::headline(verdict), reason);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  auto object = base_object(verdict, seconds.count(), reason);
  add_theorems(object, proved->report);
  for (const auto& row : report.rows) {
    if (row.verdict != props::Verdict::fail) continue;
    object["findings"].push_back({{"engine", "impl"},
                                  {"kind", "refinement"},
                                  {"invariant", nullptr},
                                  {"title", row.machine + ": " + row.reason},
                                  {"program", row.path.string()},
                                  {"new", true}});
  }
  object["refinement"] = jobs::json_rows(report);
  return json.write(object, verdict);
}

int run(const Options& options) {
  if (options.refinement) return run_refinement(options);
  const auto& json = options.json;
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  if (options.depth) {
    return input_error(json.target(), "--depth: belongs to --refinement, whose programs it bounds");
  }
  auto names = options.names;
  names.insert(names.end(), options.only.begin(), options.only.end());
  auto chosen = jobs::choose_theorems(names);
  if (!chosen) return input_error(json.target(), chosen.error());
  const auto proved = prove_all(options, *std::move(chosen));
  if (!proved) return input_error(json.target(), proved.error());
  fmt::print(json.page(), "{}{}\n", props::headline(proved->verdict),
             proved->reason.empty() ? "" : ": " + proved->reason);
  auto object = base_object(proved->verdict, proved->report.seconds, proved->reason);
  add_theorems(object, proved->report);
  return json.write(object, proved->verdict);
}

}  // namespace

void add_prove(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("prove", "Prove theorems with Z3, refute their twins");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("NAME", options->names,
                   "Which theorems or subjects (default: all but refinement)");
  verb->add_option("--only", options->only, "The same as NAME")->type_name("NAME");
  verb->add_option("--time-limit", options->time,
                   "CPU time of one query of Z3: 500ms, 20s; four times that for cvc5")
      ->type_name("TIME")
      ->capture_default_str();
  verb->add_option("--memory-limit", options->memory,
                   "Of one query of Z3, in MiB; four times that for cvc5")
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
                 "impl against the model on a small machine: a step from every state, "
                 "and every short program");
  verb->add_option("--engine", options->engines,
                   "Replay programs of counterexamples on it, too (default: kvm if it runs)")
      ->type_name("E")
      ->allow_extra_args(false);
  verb->add_option("--depth", options->depth, "Commands of a program of --refinement (default: 3)")
      ->type_name("K")
      ->check(CLI::Range(1u, 6u));
  verb->add_flag("--no-second-opinion", options->no_second_opinion, "Do not ask cvc5");
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = run(*options); });
}

}  // namespace lockstep::cli
