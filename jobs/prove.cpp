// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/prove.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "jobs/protocol_schedules.h"
#include "jobs/refinement_programs.h"
#include "jobs/saved_schedules.h"
#include "props/engine_factory.h"
#include "props/lockstep.h"
#include "smt/limited_child.h"
#include "smt/refinement/theorems.h"
#include "smt/second_solver.h"
#include "smt/smtlib.h"
#include "smt/theorems/theorems.h"
#include "spec/program.h"
#include "spec/text_suggest.h"

namespace lockstep::jobs {
namespace {

namespace fs = std::filesystem;
using smt::Proof;
using smt::Result;

void report(const ProveOptions& options, std::string_view line) {
  if (options.progress) options.progress(line);
}

bool write_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return static_cast<bool>(file);
}

/// Run a program on the model and another engine, and say what came out: the
/// verdict's word, then a few lines.
std::string replay_text(const Program& program, const std::string& other) {
  std::vector<std::unique_ptr<Engine>> engines;
  for (const auto& name : {std::string("spec"), other}) {
    auto engine = props::make_engine(name, /*seed=*/1);
    if (!engine) return fmt::format("no-verdict\n{}: {}", name, engine.error().message);
    engines.push_back(std::move(*engine));
  }
  props::Lockstep lockstep(std::move(engines), props::machine_models());
  props::RunOptions running;
  running.fresh = true;
  const auto outcome = lockstep.run(program, running);
  std::string text(props::name(outcome.verdict));
  if (outcome.finding) {
    return text + "\n" + outcome.finding->title + "\n" + props::side_by_side(*outcome.finding);
  }
  text += "\n" + outcome.reason;
  for (const auto& skip : outcome.skips) text += fmt::format(" {}: {}", skip.engine, skip.reason);
  return text;
}

props::Verdict verdict_named(std::string_view word) {
  for (const auto verdict : {props::Verdict::pass, props::Verdict::fail}) {
    if (word == props::name(verdict)) return verdict;
  }
  return props::Verdict::no_verdict;
}

/// The replay in a child: a broken rule may take the implementation down.
EngineReplay replay_on(const std::string& engine, const Program& program,
                       const ProveOptions& options) {
  const auto child = smt::run_limited_child(
      [&](int fd) {
        const std::string text = replay_text(program, engine);
        if (write(fd, text.data(), text.size()) < 0) _exit(1);
      },
      options.replay_limit, options.limits.stop);
  const auto end = std::min(child.output.find('\n'), child.output.size());
  EngineReplay replay{.engine = engine,
                      .verdict = verdict_named(std::string_view(child.output).substr(0, end)),
                      .shown = {}};
  if (end < child.output.size()) replay.shown = child.output.substr(end + 1);
  if (child.end == smt::ChildResult::End::killed) {
    replay.verdict = props::Verdict::fail;
    replay.shown = fmt::format("the replay died of signal {}", child.status);
  }
  if (child.end == smt::ChildResult::End::timed_out) replay.shown = "the replay ran out of time";
  return replay;
}

void replay(CounterexampleProgram& counterexample, const ProveOptions& options) {
  const auto program = parse(counterexample.text);
  if (!program) {
    counterexample.verdict = props::Verdict::input_error;
    counterexample.shown = program.error().message("counterexample", counterexample.text);
    return;
  }
  auto on_impl = replay_on("impl", *program, options);
  counterexample.verdict = on_impl.verdict;
  counterexample.shown = std::move(on_impl.shown);
  // What the program expects is the manual's answer. Where KVM is known for another the
  // model admits both, and judges.
  Program judged = *program;
  for (auto& step : judged.steps) step.expected.reset();
  for (const auto& engine : options.engines) {
    report(options, fmt::format("{} replays", engine));
    counterexample.others.push_back(replay_on(engine, judged, options));
  }
}

void make_program(SideRow& side, const smt::Theorem& theorem, const fs::path& folder,
                  std::string_view suffix, const ProveOptions& options) {
  if (side.proof.result != Result::refuted) return;
  side.program.text = theorem.program ? theorem.program(side.proof.counterexample)
                                      : refinement_program(theorem.name, side.proof.counterexample);
  if (side.program.text.empty()) return;
  replay(side.program, options);
  if (folder.empty()) return;
  std::error_code error;
  fs::create_directories(folder, error);
  const auto path = folder / fmt::format("{}{}.lockstep", theorem.name, suffix);
  if (write_file(path, side.program.text)) side.program.path = path;
}

/// What the counterexample of a twin does where its defect is, and where it is not.
void replay_defect(TheoremRow& row, const ProveOptions& options) {
  auto& twin = row.twin;
  if (twin.proof.result != Result::refuted) return;
  report(options, row.theorem.name + ": replay of the twin");
  // A program on the same rule shows its defect where it is a way to such a state.
  const bool has_defect = !row.theorem.scenario || row.theorem.subject == "refinement";
  twin.replay = replay_twin(row.theorem, twin.proof, has_defect ? twin.program.text : std::string(),
                            {.mutants = options.mutants,
                             .folder = options.programs,
                             .limit = options.replay_limit,
                             .stop = options.limits.stop});
}

/// A protocol that is refuted itself.
void save_schedule(SideRow& side, const smt::Theorem& theorem, const ProveOptions& options) {
  if (side.proof.result != Result::refuted || options.failures.empty()) return;
  const auto saved = schedule_of(theorem, smt::Side::true_rule, side.proof);
  if (saved) side.schedule = write_schedule(options.failures, theorem.name, print(*saved));
}

/// cvc5 is slower on shifts by a symbolic amount, and takes more memory: so many
/// times what Z3 is given.
constexpr unsigned second_patience = 4;

/// Of the theorem, and of shorter runs of the twin, which had no counterexample.
void ask_second(TheoremRow& row, const ProveOptions& options) {
  auto answers = row.rule.proof.assumptions;
  const auto& twin = row.twin.proof.assumptions;
  answers.insert(answers.end(), twin.begin(), twin.end());
  for (const auto& answer : answers) {
    report(options, fmt::format("{}: cvc5 on the {}", row.theorem.name, answer.name));
    const auto opinion = smt::second_opinion(
        answer.terms, {.time = second_patience * options.limits.time,
                       .memory_mib = second_patience * options.limits.memory_mib,
                       .stop = options.limits.stop});
    row.second_seconds += opinion.cpu_seconds;
    switch (opinion.kind) {
      case smt::SecondOpinion::Kind::agrees:
        ++row.agreed;
        break;
      case smt::SecondOpinion::Kind::disagrees:
        row.contradicted = true;
        break;
      case smt::SecondOpinion::Kind::timeout:
      case smt::SecondOpinion::Kind::memory:
        ++row.unconfirmed;
        break;
      case smt::SecondOpinion::Kind::interrupted:
        row.interrupted = true;
        return;
      default:
        ++row.unconfirmed;
        row.second_failed = fmt::format("{}: {}", answer.name, opinion.reason);
    }
  }
}

/// Every query as a file; the error is one line.
std::optional<std::string> dump(const smt::Theorem& theorem, const fs::path& folder) {
  for (const auto& query : smt::queries(theorem)) {
    const auto path = folder / fmt::format("{}.{}.smt2", theorem.name, query.name);
    const auto text =
        smt::smtlib(query.terms, query.status,
                    fmt::format("Theorem {}: {}\nSource: {}\nKernels: {}\nTwin: {}\nExpected: {}",
                                theorem.name, theorem.statement, theorem.source, theorem.kernels,
                                theorem.twin, query.status));
    if (!write_file(path, text)) return fmt::format("cannot write {}", path.string());
  }
  return std::nullopt;
}

TheoremRow prove_one(const smt::Theorem& theorem, const ProveOptions& options,
                     bool second_opinion) {
  TheoremRow row;
  row.theorem = theorem;
  report(options, theorem.name);
  row.rule.proof = smt::prove(theorem, smt::Side::true_rule, options.limits);
  row.rule.execution = smt::execute(theorem, smt::Side::true_rule, row.rule.proof);
  make_program(row.rule, theorem, options.failures, "", options);
  save_schedule(row.rule, theorem, options);
  if (row.rule.proof.absent || row.rule.proof.interrupted) return row;
  report(options, theorem.name + ": twin");
  row.twin.proof = smt::prove(theorem, smt::Side::broken_rule, options.limits);
  row.twin.execution = smt::execute(theorem, smt::Side::broken_rule, row.twin.proof);
  make_program(row.twin, theorem, options.programs, ".twin", options);
  replay_defect(row, options);
  if (second_opinion) ask_second(row, options);
  return row;
}

}  // namespace

tl::expected<std::vector<smt::Theorem>, std::string> choose_theorems(
    const std::vector<std::string>& names) {
  if (names.empty()) return smt::theorems();
  std::vector<smt::Theorem> known = smt::theorems();
  const auto& refinement = smt::refinement_theorems();
  known.insert(known.end(), refinement.begin(), refinement.end());
  std::vector<std::string_view> valid;
  for (const auto& theorem : known) {
    valid.push_back(theorem.name);
    if (std::ranges::find(valid, theorem.subject) == valid.end()) valid.push_back(theorem.subject);
  }
  for (const auto& name : names) {
    if (std::ranges::find(valid, name) != valid.end()) continue;
    const auto near = spec::text::nearest(name, valid);
    return tl::unexpected(
        fmt::format("no theorem '{}'; see `lockstep list theorems`{}", name,
                    near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
  }
  std::vector<smt::Theorem> chosen;
  for (const auto& theorem : known) {
    const auto wanted = [&](const std::string& name) {
      return name == theorem.name || name == theorem.subject;
    };
    if (std::ranges::any_of(names, wanted)) chosen.push_back(theorem);
  }
  return chosen;
}

tl::expected<ProveReport, std::string> prove(const ProveOptions& options) {
  const auto started = std::chrono::steady_clock::now();
  if (!options.dump.empty()) {
    std::error_code error;
    fs::create_directories(options.dump, error);
    for (const auto& theorem : options.theorems) {
      if (auto failed = dump(theorem, options.dump)) return tl::unexpected(std::move(*failed));
    }
  }
  ProveReport result;
  result.asked = options.theorems.size();
  result.solver = smt::solver_version();
  result.second_wanted = options.second_opinion;
  result.engines = options.engines;
  result.engines_asked = options.engines_asked;
  if (options.second_opinion) result.second_solver = smt::second_solver_path();
  for (const auto& theorem : options.theorems) {
    auto row = prove_one(theorem, options, !result.second_solver.empty());
    result.interrupted =
        row.rule.proof.interrupted || row.twin.proof.interrupted || row.interrupted;
    if (result.interrupted) break;
    result.cpu_seconds += row.rule.proof.cpu_seconds + row.twin.proof.cpu_seconds;
    result.second_seconds += row.second_seconds;
    result.rows.push_back(std::move(row));
    // Without a solver the second theorem fares no better than the first.
    if (result.rows.back().rule.proof.absent) break;
    if (options.done) options.done(result.rows.back());
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  result.seconds = seconds.count();
  return result;
}

}  // namespace lockstep::jobs
