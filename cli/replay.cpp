// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep replay`: given programs on engines, both sides shown.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>

#include "cli/budget.h"
#include "cli/engines.h"
#include "cli/json_output.h"
#include "cli/read_program.h"
#include "cli/replay_unit.h"
#include "cli/schedules.h"
#include "cli/tools.h"
#include "cli/verbs.h"
#include "props/impl_engine_mutants.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  std::vector<std::string> engines;
  std::string mutant;
  std::string deadline = "60s";
  bool step = false;
  bool view = false;
  JsonOutput json;
};

constexpr auto footer =
    "FILE is a program as text (-: standard input), or a folder: its programs in\n"
    "the order of their names, one after the other on the same VM. One program\n"
    "is shown step by step, of several only the verdicts, unless --step.\n"
    "\n"
    "Without --engine every engine runs that this machine can run; one that\n"
    "lacks what a program needs is left out with the reason, as long as another\n"
    "is left to compare with the spec. An engine that was asked for and cannot\n"
    "run the program makes the verdict `no verdict`.\n"
    "\n"
    "A schedule (props/schedule; *.schedule), given alone, runs its threads in its\n"
    "order: a column a thread, `>` where a thread is preempted. It fails if it uses\n"
    "more CPU time than --deadline.\n"
    "\n"
    "Hosted engines check numbered invariants inside the VM at the end; with\n"
    "LOCKSTEP_INVARIANTS=step after each step, =all in every program, =off never.\n"
    "\n"
    "Exit: 0 pass, 1 FAIL, 2 no such file or no program, 3 no verdict.\n"
    "\n"
    "Examples:\n"
    "  lockstep replay failures/FILE\n"
    "  lockstep replay --engine impl --engine kvm FILE\n"
    "  lockstep replay --engines spec,qemu:6.1 corpus/bugs\n"
    "  lockstep replay corpus/*/*\n";

/// FAIL before no verdict before pass.
props::Verdict worse(props::Verdict one, props::Verdict other) {
  const auto rank = [](props::Verdict verdict) {
    constexpr int ranks[] = {0, 3, 2, 1};
    return ranks[static_cast<unsigned>(verdict)];
  };
  return rank(one) >= rank(other) ? one : other;
}

/// The same command of the program that has impl's defects.
int replay_with_mutants(const Options& options) {
  const auto program = program_with_mutants();
  std::vector<std::string> words = {program.string(), "replay",     "--mutant",
                                    options.mutant,   "--deadline", options.deadline};
  if (options.step) words.emplace_back("--step");
  if (options.view) words.emplace_back("--view");
  for (const auto& engine : options.engines) words.insert(words.end(), {"--engine", engine});
  if (!options.json.target().empty()) {
    words.insert(words.end(), {"--json", options.json.target()});
  }
  words.insert(words.end(), options.files.begin(), options.files.end());
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  if (!program.empty()) execv(program.c_str(), arguments.data());
  const std::string why = "no program lockstep-mutants beside this one; build that target";
  fmt::print(stderr, "lockstep: {}\n", why);
  return options.json.write(base_object(props::Verdict::no_verdict, 0, why),
                            props::Verdict::no_verdict);
}

int replay(const Options& options) {
  const auto& json = options.json;
  const auto started = std::chrono::steady_clock::now();
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  const auto deadline = parse_budget(options.deadline);
  if (!deadline) return input_error(json.target(), "--deadline: " + deadline.error());
  if (options.files.size() == 1 && options.files.front() != "-") {
    const auto text = read_text(options.files.front());
    if (text && is_schedule(*text)) {
      if (!options.engines.empty() || options.view) {
        return input_error(json.target(),
                           fmt::format("{} does not apply to a schedule: it says what it runs on",
                                       options.view ? "--view" : "--engine"));
      }
      return replay_schedule(options.files.front(), *text, *deadline, json);
    }
  }
  if (!options.mutant.empty()) {
    if (!props::choose_impl_mutant(options.mutant)) {
      return input_error(json.target(), fmt::format("no mutant '{}'; see `lockstep mutants --list`",
                                                    options.mutant));
    }
    if (!props::has_impl_mutants()) return replay_with_mutants(options);
  }
  const auto engines = choose_engines(options.engines, props::make_engine);
  if (!engines) return input_error(json.target(), engines.error());

  // Nothing runs before everything has been read: a typing error in the last
  // name costs no time.
  std::vector<ReplayUnit> units;
  std::size_t programs = 0;
  for (const auto& file : options.files) {
    auto unit = read_unit(file);
    if (!unit) return input_error(json.target(), unit.error());
    programs += unit->programs.size();
    units.push_back(std::move(*unit));
  }

  ReplayOptions replaying{.engines = *engines,
                          .steps = options.step || programs == 1,
                          .view = options.view,
                          .deadline = *deadline,
                          .page = json.page()};
  fmt::print(json.page(), "{}", not_run_lines(*engines));
  auto verdict = props::Verdict::pass;
  std::string reason;
  auto findings = nlohmann::json::array();
  auto results = nlohmann::json::array();
  for (const auto& unit : units) {
    for (auto& replayed : replay_unit(unit, replaying)) {
      if (worse(replayed.verdict, verdict) != verdict) reason = replayed.reason;
      verdict = worse(replayed.verdict, verdict);
      if (replayed.finding) findings.push_back(*replayed.finding);
      results.push_back({{"program", replayed.path},
                         {"verdict", props::name(replayed.verdict)},
                         {"reason", replayed.reason},
                         {"skipped", replayed.skipped}});
    }
  }
  if (programs > 1) {
    const auto partly = std::ranges::count_if(
        results, [](const nlohmann::json& one) { return !one["skipped"].empty(); });
    fmt::print(json.page(), "{}: {} programs, {} of them not on every engine\n",
               props::headline(verdict), programs, partly);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  auto object = base_object(verdict, seconds.count(), reason);
  object["findings"] = std::move(findings);
  object["programs"] = std::move(results);
  object["engines"] = engines->names;
  return json.write(object, verdict);
}

}  // namespace

void add_replay(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("replay", "Run given programs, both sides shown step by step");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("FILE", options->files, "Programs as text")->required();
  verb->add_option("--engine,--engines", options->engines, "An engine: spec, impl, kvm")
      ->delimiter(',')
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->type_name("NAME");
  verb->add_option("--mutant", options->mutant,
                   "impl with this seeded defect (see `mutants --list`)")
      ->type_name("NAME");
  verb->add_flag("--step", options->step, "Show every step");
  verb->add_flag("--view", options->view,
                 "Show the MMU's inside after the last step (hosted engines)");
  verb->add_option("--deadline", options->deadline, "Of one program or folder; then it hangs")
      ->type_name("TIME")
      ->capture_default_str();
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = replay(*options); });
}

}  // namespace lockstep::cli
