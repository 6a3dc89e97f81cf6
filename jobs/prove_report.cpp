// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>

#include "jobs/prove.h"
#include "smt/second_solver.h"

namespace lockstep::jobs {
namespace {

using smt::Proof;
using smt::Result;

std::string result_text(const Proof& proof) {
  if (proof.result == Result::bounded) return fmt::format("bounded({})", proof.bound);
  return std::string(smt::name(proof.result));
}

/// Claims nothing beyond its bound, by its own account.
bool meant_to_be_bounded(const TheoremRow& row) {
  return row.rule.proof.result == Result::bounded && row.rule.proof.reason.empty();
}

bool proved(const TheoremRow& row) {
  return row.rule.proof.result == Result::proved || meant_to_be_bounded(row);
}

/// The program of a twin asks what the twin answers wrongly: engines that keep
/// the rule must pass it; one that skips it says nothing.
bool program_holds(const TheoremRow& row) {
  const auto fails = [](const EngineReplay& replay) {
    return replay.verdict == props::Verdict::fail;
  };
  return row.twin.program.text.empty() || (row.twin.program.verdict == props::Verdict::pass &&
                                           std::ranges::none_of(row.twin.program.others, fails));
}

/// A replay that did not end says nothing against a rule.
bool program_undecided(const TheoremRow& row) {
  return !row.twin.program.text.empty() && row.twin.program.verdict == props::Verdict::no_verdict;
}

/// Whether the counterexample did, when it was executed, what the solver said.
bool executed(const SideRow& side) {
  return side.proof.result != Result::refuted || side.execution.refutes;
}

/// Whether the counterexample goes wrong where the defect is, and only there.
bool replayed(const TheoremRow& row) {
  const auto& replay = row.twin.replay;
  return replay.kind != ReplayKind::none && replay.shows && replay.mended;
}

bool undecided(Result result) {
  return result == Result::timeout || result == Result::unknown || result == Result::vacuous;
}

/// Some rule is wrong, not merely unproved.
bool wrong(const TheoremRow& row) {
  if (row.rule.proof.result == Result::refuted) return true;
  if (undecided(row.rule.proof.result) || undecided(row.twin.proof.result)) return false;
  if (row.contradicted) return false;
  return !proved(row) || row.twin.proof.result != Result::refuted || !executed(row.twin) ||
         (!program_holds(row) && !program_undecided(row)) ||
         (!replayed(row) && !row.twin.replay.undecided);
}

std::string indented(std::string_view text, std::string_view margin) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    out += fmt::format("{}{}\n", margin, text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

/// Words below a first line of their own, wrapped at 72 columns.
std::string wrapped(std::string line, std::string_view text, std::string_view margin) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(' ', at), text.size());
    const auto word = text.substr(at, end - at);
    if (line.size() + 1 + word.size() > 72) {
      out += line + "\n";
      line = margin;
    }
    line += fmt::format(" {}", word);
    at = end + 1;
  }
  return out + line + "\n";
}

std::string story_text(const SideRow& side) {
  std::string out;
  for (const auto& line : side.proof.story) out += wrapped("     ", line, "         ");
  return out;
}

std::string execution_text(const SideRow& side) {
  using Kind = smt::Execution::Kind;
  const auto& execution = side.execution;
  if (execution.kind == Kind::none) return "    not executed\n";
  std::string out = execution.kind == Kind::formula ? "    executed on these numbers: "
                                                    : "    executed step by step: ";
  out += execution.refutes ? "the claim is false\n" : "the claim is TRUE\n";
  // The same lines as the solver's model gave are not said again.
  if (execution.text == side.proof.story) return out;
  for (const auto& line : execution.text) out += wrapped("     ", line, "         ");
  return out;
}

std::string program_text(const TheoremRow& row, const SideRow& side) {
  std::string out = execution_text(side);
  if (side.program.text.empty() && !side.schedule.empty()) {
    return out + fmt::format("    lockstep replay {}\n", side.schedule.string());
  }
  if (side.program.text.empty()) return out;
  if (row.theorem.scenario) out += "    a program on the same rule, not of these numbers:\n";
  out += indented(side.program.text, "      ");
  out += fmt::format("    replayed on spec and impl: {}\n", props::headline(side.program.verdict));
  out += indented(side.program.shown, "      ");
  for (const auto& replay : side.program.others) {
    const bool skipped = replay.verdict == props::Verdict::no_verdict;
    out += fmt::format("    replayed on {}: {}\n", replay.engine,
                       skipped ? "not comparable" : props::headline(replay.verdict));
    out += indented(replay.shown, "      ");
  }
  if (!side.program.path.empty()) {
    out += fmt::format("    lockstep replay {}\n", side.program.path.string());
  }
  return out;
}

std::string paragraph(std::string_view name, std::string_view text) {
  return wrapped(fmt::format("    {}:", name), text, "     ");
}

/// What became of programs of counterexamples on one engine.
struct ReplayCounts {
  std::size_t pass = 0;
  std::size_t fail = 0;
  std::size_t other = 0;
  std::string why;  ///< the last of `other`, a line
};

ReplayCounts count_replays(const ProveReport& report, std::string_view engine) {
  ReplayCounts counts;
  for (const auto& row : report.rows) {
    for (const SideRow* side : {&row.rule, &row.twin}) {
      for (const auto& replay : side->program.others) {
        if (replay.engine != engine) continue;
        if (replay.verdict == props::Verdict::pass) {
          ++counts.pass;
        } else if (replay.verdict == props::Verdict::fail) {
          ++counts.fail;
        } else {
          ++counts.other;
          const auto text = std::string_view(replay.shown);
          const auto first = text.substr(text.starts_with('\n') ? 1 : 0);
          counts.why = first.substr(0, first.find('\n'));
        }
      }
    }
  }
  return counts;
}

/// The engine that was asked for and could run no program; empty if there is none.
std::string silent_engine(const ProveReport& report) {
  if (!report.engines_asked) return {};
  for (const auto& engine : report.engines) {
    const auto counts = count_replays(report, engine);
    if (counts.other != 0 && counts.pass + counts.fail == 0) return engine + ": " + counts.why;
  }
  return {};
}

/// Of a replay that does not say what it must.
std::string replay_fault(const TheoremRow& row) {
  const auto& replay = row.twin.replay;
  if (replay.kind == ReplayKind::none) return "cannot be made: " + replay.reason;
  if (!replay.shows) return fmt::format("does not show it on {}", replay.with);
  return "goes wrong without the defect, too";
}

/// Of a proof that holds but for a replay that came to no verdict; else empty.
std::string replay_without_end(const TheoremRow& row) {
  if (!proved(row) || row.twin.proof.result != Result::refuted) return {};
  const auto first_line = [](std::string_view text) {
    if (text.starts_with('\n')) text.remove_prefix(1);
    return std::string(text.substr(0, text.find('\n')));
  };
  if (program_undecided(row)) return "the replay: " + first_line(row.twin.program.shown);
  if (row.twin.replay.undecided) {
    return "the replay with the defect: " + first_line(row.twin.replay.shown);
  }
  return {};
}

std::string replay_text(const SideRow& side) {
  const auto& replay = side.replay;
  std::string out = wrapped(fmt::format("    replay as {}:", name(replay.kind)),
                            replay.kind == ReplayKind::none ? replay.reason : replay.with, "     ");
  if (replay.kind == ReplayKind::none) return out;
  out += fmt::format("      with the defect {}, without it {}\n",
                     replay.shows ? "it goes wrong" : "NOTHING HAPPENS",
                     replay.mended ? "it does not" : "IT GOES WRONG, TOO");
  if (replay.kind == ReplayKind::function) {
    return out + wrapped("      no program:", replay.reason, "       ");
  }
  if (!replay.text.empty()) out += indented(replay.text, "      ");
  const auto& path = replay.path.empty() ? side.program.path : replay.path;
  if (!path.empty()) out += fmt::format("    {} {}\n", replay.command, path.string());
  return out;
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

bool holds(const TheoremRow& row) {
  return proved(row) && row.twin.proof.result == Result::refuted && program_holds(row) &&
         executed(row.twin) && replayed(row) && !row.contradicted && row.second_failed.empty();
}

props::Verdict verdict_of(const ProveReport& report) {
  if (std::ranges::any_of(report.rows, wrong)) return props::Verdict::fail;
  const bool whole = !report.interrupted && report.rows.size() == report.asked;
  if (!whole || report.rows.empty() || !silent_engine(report).empty()) {
    return props::Verdict::no_verdict;
  }
  return std::ranges::all_of(report.rows, holds) ? props::Verdict::pass
                                                 : props::Verdict::no_verdict;
}

std::string reason_of(const ProveReport& report) {
  for (const auto& row : report.rows) {
    if (!wrong(row)) continue;
    if (row.rule.proof.result == Result::refuted) {
      return fmt::format("{}: refuted", row.theorem.name);
    }
    if (!proved(row)) {
      return fmt::format("{}: {}", row.theorem.name, row.rule.proof.reason);
    }
    if (row.twin.proof.result != Result::refuted) {
      return fmt::format("{}: its twin is {}", row.theorem.name, result_text(row.twin.proof));
    }
    return fmt::format("{}: {}", row.theorem.name,
                       !program_holds(row)   ? "the program of its twin does not pass"
                       : !executed(row.twin) ? "its twin's counterexample is none when executed"
                                             : "the replay of its twin " + replay_fault(row));
  }
  if (report.interrupted) return "interrupted";
  for (const auto& row : report.rows) {
    if (holds(row)) continue;
    if (row.contradicted) {
      return fmt::format("{}: cvc5 contradicts {}", row.theorem.name, report.solver);
    }
    if (const auto reason = replay_without_end(row); !reason.empty()) {
      return fmt::format("{}: {}", row.theorem.name, reason);
    }
    if (!row.second_failed.empty()) {
      return fmt::format("{}: cvc5 gave no answer: {}", row.theorem.name, row.second_failed);
    }
    const auto& proof = proved(row) ? row.twin.proof : row.rule.proof;
    return proof.absent
               ? proof.reason
               : fmt::format("{}: {}: {}", row.theorem.name, result_text(proof), proof.reason);
  }
  return report.rows.empty() ? "no theorem" : silent_engine(report);
}

std::string text_row(const TheoremRow& row) {
  const auto& twin = row.twin.proof;
  const bool refuted = twin.result == Result::refuted;
  return fmt::format("{} {:<36} {:<11} twin {:<8} {:6.2f} s\n", holds(row) ? "  " : ">>",
                     row.theorem.name, result_text(row.rule.proof),
                     refuted ? "refuted" : result_text(twin),
                     row.rule.proof.cpu_seconds + twin.cpu_seconds);
}

std::string text_details(const TheoremRow& row) {
  if (holds(row)) return {};
  std::string out = paragraph("states", row.theorem.statement);
  out += paragraph("source", row.theorem.source);
  const auto& proof = row.rule.proof;
  if (!proof.reason.empty()) out += paragraph("reason", proof.reason);
  if (proof.result == Result::refuted) {
    out += "    counterexample:\n" + story_text(row.rule) + program_text(row, row.rule);
    if (row.rule.program.verdict == props::Verdict::pass) {
      out += "    the program does not show it\n";
    }
  } else if (row.twin.proof.result != Result::refuted) {
    out += paragraph("twin", row.theorem.twin);
    if (!row.twin.proof.reason.empty()) out += paragraph("twin's reason", row.twin.proof.reason);
  } else if (!program_holds(row) || !executed(row.twin) || !replayed(row)) {
    out += text_twin(row);
  }
  if (row.contradicted) out += "    cvc5 finds a model where Z3 finds none\n";
  if (!row.second_failed.empty()) out += paragraph("cvc5 gave no answer", row.second_failed);
  return out;
}

std::string text_twin(const TheoremRow& row) {
  if (row.twin.proof.result != Result::refuted) return {};
  std::string out = paragraph("twin", row.theorem.twin) + story_text(row.twin);
  return out + program_text(row, row.twin) + replay_text(row.twin);
}

namespace {

/// "kvm: 20 pass, 6 not comparable": programs of counterexamples on the engine.
std::string replays_on(const ProveReport& report, std::string_view engine) {
  const auto replays = count_replays(report, engine);
  std::string out = fmt::format("  on {}: {} pass, {} FAIL, {} not comparable\n", engine,
                                replays.pass, replays.fail, replays.other);
  if (replays.other == 0) return out;
  return out + indented(replays.why, "    the last one: ");
}

}  // namespace

std::string text_summary(const ProveReport& report) {
  const auto count = [&](auto&& which) { return std::ranges::count_if(report.rows, which); };
  std::string out =
      fmt::format("{}: {} proved, {} bounded, {} refuted; twins: {} refuted\n",
                  counted(report.asked, "theorem"),
                  count([](const auto& row) { return row.rule.proof.result == Result::proved; }),
                  count(meant_to_be_bounded),
                  count([](const auto& row) { return row.rule.proof.result == Result::refuted; }),
                  count([](const auto& row) { return row.twin.proof.result == Result::refuted; }));
  const auto programs = count(
      [](const auto& row) { return !row.twin.program.text.empty() && !row.theorem.scenario; });
  const auto scenarios =
      count([](const auto& row) { return !row.twin.program.text.empty() && row.theorem.scenario; });
  const auto replays = [&](ReplayKind kind) {
    return count([kind](const auto& row) { return replayed(row) && row.twin.replay.kind == kind; });
  };
  const auto without = count(
      [](const auto& row) { return row.twin.proof.result == Result::refuted && !replayed(row); });
  const auto executions = [&](smt::Execution::Kind kind) {
    return count([kind](const auto& row) {
      return row.twin.execution.kind == kind && row.twin.execution.refutes;
    });
  };
  out += fmt::format(
      "counterexamples of twins: {} executed on numbers, {} step by step\n"
      "  with the defect: {} replayed as programs, {} as schedules, {} as functions,\n"
      "  {} not\n"
      "  programs that spec and impl pass: {} of the numbers, {} on the same rule\n",
      executions(smt::Execution::Kind::formula), executions(smt::Execution::Kind::run),
      replays(ReplayKind::program), replays(ReplayKind::schedule), replays(ReplayKind::function),
      without, programs, scenarios);
  for (const auto& engine : report.engines) out += replays_on(report, engine);
  if (!report.solver.empty()) {
    out += fmt::format("{}: {:.1f} CPU s\n", report.solver, report.cpu_seconds);
  }
  if (!report.second_wanted) return out + "no second opinion: not asked for\n";
  if (report.second_solver.empty()) {
    return out + fmt::format("no second opinion: package {} is not installed\n",
                             smt::second_solver_package);
  }
  unsigned agreed = 0, unconfirmed = 0;
  std::string open;
  for (const auto& row : report.rows) {
    agreed += row.agreed;
    unconfirmed += row.unconfirmed;
    if (row.unconfirmed != 0) open += wrapped("  no second opinion:", row.theorem.name, "    ");
  }
  return out +
         fmt::format("cvc5: {} of {} unsatisfiable answers confirmed: {:.1f} CPU s\n", agreed,
                     agreed + unconfirmed, report.second_seconds) +
         open;
}

namespace {

/// How a counterexample was executed; null if it was not, or came out otherwise.
nlohmann::json execution_name(const smt::Execution& execution) {
  if (!execution.refutes) return nullptr;
  return execution.kind == smt::Execution::Kind::formula ? "formula" : "run";
}

}  // namespace

namespace {

nlohmann::json defect_json(const DefectReplay& replay) {
  return {{"kind", name(replay.kind)},    {"with", replay.with},      {"shows", replay.shows},
          {"mended", replay.mended},      {"reason", replay.reason},  {"schedule", replay.text},
          {"path", replay.path.string()}, {"command", replay.command}};
}

nlohmann::json replays_json(const SideRow& side) {
  auto replays = nlohmann::json::array();
  for (const auto& replay : side.program.others) {
    const bool skipped = replay.verdict == props::Verdict::no_verdict;
    replays.push_back({{"engine", replay.engine},
                       {"replay", props::name(replay.verdict)},
                       {"reason", skipped ? replay.shown : ""}});
  }
  return replays;
}

}  // namespace

nlohmann::json json_rows(const ProveReport& report) {
  auto rows = nlohmann::json::array();
  for (const auto& row : report.rows) {
    const auto& proof = row.rule.proof;
    const auto& twin = row.twin.proof;
    const bool bounded = proof.result == Result::bounded;
    rows.push_back({{"name", row.theorem.name},
                    {"subject", row.theorem.subject},
                    {"statement", row.theorem.statement},
                    {"source", row.theorem.source},
                    {"kernels", row.theorem.kernels},
                    {"result", smt::name(proof.result)},
                    {"bound", bounded ? nlohmann::json(proof.bound) : nlohmann::json(nullptr)},
                    {"seconds", proof.cpu_seconds + twin.cpu_seconds},
                    {"reason", proof.reason},
                    {"counterexample", proof.story},
                    {"scenario", row.theorem.scenario},
                    {"twin",
                     {{"breaks", row.theorem.twin},
                      {"result", smt::name(twin.result)},
                      {"counterexample", twin.story},
                      {"executed", execution_name(row.twin.execution)},
                      {"numbers", row.twin.execution.text},
                      {"program", row.twin.program.text},
                      {"engines", replays_json(row.twin)},
                      {"defect", defect_json(row.twin.replay)},
                      {"replay", row.twin.program.text.empty()
                                     ? nlohmann::json(nullptr)
                                     : nlohmann::json(props::name(row.twin.program.verdict))}}},
                    {"second_opinion",
                     {{"agreed", row.agreed},
                      {"undecided", row.unconfirmed},
                      {"contradicted", row.contradicted},
                      {"failed", row.second_failed},
                      {"seconds", row.second_seconds}}}});
  }
  return rows;
}

nlohmann::json json_findings(const ProveReport& report) {
  auto findings = nlohmann::json::array();
  for (const auto& row : report.rows) {
    if (!wrong(row)) continue;
    findings.push_back(
        {{"engine", "smt"},
         {"kind", "theorem"},
         {"invariant", nullptr},
         {"title", fmt::format("{}: {}", row.theorem.name, result_text(row.rule.proof))},
         {"program", row.rule.program.path.string()},
         {"new", true}});
  }
  return findings;
}

}  // namespace lockstep::jobs
