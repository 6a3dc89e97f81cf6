// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/schedules.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "props/commit.h"
#include "spec/text_suggest.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

/// Write the schedule under a name that equal failures share; empty if it could
/// not be written.
std::filesystem::path save(const std::filesystem::path& folder, schedule::Found& found) {
  const schedule::Saved& saved = found.saved;
  const auto stem = fmt::format("{}-{}{}.schedule", saved.system->name,
                                saved.defect == schedule::no_defect
                                    ? ""
                                    : fmt::format("{}-", saved.system->defects[saved.defect].name),
                                name(found.failure.kind));
  found.saved.comments = {fmt::format("{}: {}", name(found.failure.kind), found.failure.text),
                          fmt::format("lockstep {}", props::lockstep_commit())};
  if (found.unsteady) {
    found.saved.comments.push_back("the same order gave another run: it depends on more than that");
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto path = folder / stem;
  const auto part = std::filesystem::path(path).concat(".part");
  {
    std::ofstream file(part);
    file << print(saved);
    if (!file.flush()) return {};
  }
  std::filesystem::rename(part, path, error);
  return error ? std::filesystem::path() : path;
}

std::size_t commands_of(const schedule::Threads& threads) {
  std::size_t commands = 0;
  for (const auto& thread : threads) commands += thread.size();
  return commands;
}

/// A line, broken at spaces to 72 columns.
std::string wrapped(const std::string& line) {
  std::string text;
  std::size_t from = 0;
  while (line.size() - from > 72) {
    auto end = line.rfind(' ', from + 72);
    if (end == std::string::npos || end <= from) break;
    text += line.substr(from, end - from) + "\n";
    from = end + 1;
  }
  return text + line.substr(from) + "\n";
}

/// A mutant's schedule must shrink to these.
constexpr std::size_t most_commands = 6;
constexpr unsigned most_preemptions = 4;

bool stopped(const std::atomic<bool>* stop) { return stop != nullptr && stop->load(); }

/// All programs of two threads and two commands, or those that the time allows.
void cover(schedule::Runner& runner, const SchedulesOptions& options, double seconds,
           ScheduledSystem& result, std::optional<schedule::Found>& found) {
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  std::uint64_t told = 0;
  auto covered = exhaust_all(
      runner, *result.system, schedule::no_defect, /*threads=*/2, /*commands=*/2,
      /*preemptions=*/3, result.tally, [&](const schedule::Threads&) {
        if (options.progress && result.tally.programs >= told + 100) {
          told = result.tally.programs;
          options.progress(fmt::format("{}: {} programs, {} schedules", result.system->name, told,
                                       result.tally.schedules));
        }
        return !stopped(options.stop) && Clock::now() < end;
      });
  result.complete = covered.complete;
  found = std::move(covered.found);
}

}  // namespace

SchedulesReport run_schedules(const SchedulesOptions& options) {
  const auto begun = Clock::now();
  SchedulesReport report;
  schedule::Runner runner;
  const auto systems = options.systems.empty() ? schedule::systems() : options.systems;
  const double budget = std::chrono::duration<double>(options.budget).count();
  const double share = budget / static_cast<double>(systems.size());
  std::size_t findings = 0;
  std::uint64_t schedules = 0;
  bool complete = true;
  for (const schedule::System& system : systems) {
    ScheduledSystem result{.system = &system, .tally = {}, .findings = {}};
    std::optional<schedule::Found> found;
    if (options.exhaustive) {
      cover(runner, options, share, result, found);
      complete &= result.complete;
    } else {
      if (options.progress) options.progress(fmt::format("{}", system.name));
      schedule::SearchLimits limits{.seconds = share, .stop = options.stop};
      if (options.audit) {
        limits.audit = [&](const auto& threads, const auto& outcome) {
          return options.audit(system, threads, outcome);
        };
      }
      found = search(runner, system, schedule::no_defect, options.seed, limits, result.tally);
    }
    if (found && found->unsteady) {
      result.findings.push_back({.found = *std::move(found), .path = {}});
      result.findings.back().path = save(options.failures, result.findings.back().found);
      ++findings;
    } else if (found) {
      schedule::Tally shrinking;
      ScheduleFinding finding{.found = shrink(runner, *std::move(found), shrinking), .path = {}};
      finding.path = save(options.failures, finding.found);
      result.findings.push_back(std::move(finding));
      ++findings;
    }
    schedules += result.tally.schedules;
    report.systems.push_back(std::move(result));
    if (stopped(options.stop)) break;
  }
  report.seconds = seconds_since(begun);
  if (findings != 0) {
    report.verdict = props::Verdict::fail;
    report.reason = fmt::format("{} of {} systems fail", findings, systems.size());
  } else if (report.systems.size() < systems.size()) {
    report.verdict = props::Verdict::no_verdict;
    report.reason = "stopped before every system had run";
  } else if (options.exhaustive && !complete) {
    report.verdict = props::Verdict::no_verdict;
    report.reason = "time ran out before every schedule within the bound had run";
  } else {
    report.reason =
        options.exhaustive
            ? fmt::format("all {} schedules of 2 threads, 2 commands each, 3 preemptions",
                          schedules)
            : fmt::format("{} schedules, seed {}", schedules, options.seed);
  }
  return report;
}

std::string text_report(const SchedulesReport& report) {
  std::string text;
  for (const auto& [system, tally, findings, complete] : report.systems) {
    text += fmt::format(
        "{}: {} programs, {} schedules, {:.0f} a CPU second{}\n", system->name, tally.programs,
        tally.schedules, static_cast<double>(tally.schedules) / std::max(tally.seconds, 1e-9),
        tally.audits == 0 ? "" : fmt::format(", {} of them as in a fresh process", tally.audits));
    text += fmt::format("    {}\n", system->property);
    for (const auto& [found, path] : findings) {
      schedule::Runner runner;
      text += page_of(found.saved, replay(runner, found.saved, /*trace=*/true));
      text += path.empty() ? "  not saved\n" : fmt::format("  {}\n", path.string());
    }
  }
  return text + fmt::format("{}: {}\n", headline(report.verdict), report.reason);
}

nlohmann::json json_report(const SchedulesReport& report) {
  auto engines = nlohmann::json::array();
  auto findings = nlohmann::json::array();
  for (const auto& [system, tally, found_here, complete] : report.systems) {
    engines.push_back({{"name", system->name},
                       {"commands", 0},
                       {"cases", tally.schedules},
                       {"programs", tally.programs},
                       {"audits", tally.audits},
                       {"cpu_seconds", tally.seconds},
                       {"complete", complete},
                       {"skipped", nlohmann::json::object()},
                       {"reached", nlohmann::json::object()},
                       {"loosenesses", nlohmann::json::object()}});
    for (const auto& [found, path] : found_here) {
      findings.push_back({{"engine", system->name},
                          {"kind", name(found.failure.kind)},
                          {"invariant", nullptr},
                          {"title", found.failure.text},
                          {"program", path.string()},
                          {"new", true}});
    }
  }
  return {{"engines", std::move(engines)}, {"findings", std::move(findings)}};
}

tl::expected<std::vector<ScheduledDefect>, std::string> choose_defects(
    const std::vector<std::string>& names) {
  std::vector<ScheduledDefect> all;
  std::vector<std::string_view> valid;
  for (const schedule::System& system : schedule::systems()) {
    for (unsigned i = 0; i < system.defects.size(); ++i) {
      all.push_back({.system = &system, .defect = i});
      valid.push_back(system.defects[i].name);
    }
  }
  if (names.empty()) return all;
  std::vector<ScheduledDefect> chosen;
  for (const auto& name : names) {
    const auto found = std::ranges::find(valid, name);
    if (found == valid.end()) {
      const auto near = spec::text::nearest(name, valid);
      return tl::unexpected(
          fmt::format("no mutant '{}'; see `lockstep mutants --schedules --list`{}", name,
                      near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
    }
    chosen.push_back(all[static_cast<std::size_t>(found - valid.begin())]);
  }
  return chosen;
}

ScheduledMutantsReport run_schedule_mutants(const ScheduledMutantsOptions& options) {
  const auto begun = Clock::now();
  ScheduledMutantsReport report;
  schedule::Runner runner;
  std::size_t missed = 0;
  for (const ScheduledDefect& which : options.defects) {
    if (stopped(options.stop)) break;
    ScheduledMutant row{.which = which, .found = {}, .path = {}};
    schedule::Tally tally;
    const double budget = std::chrono::duration<double>(options.budget).count();
    auto found = search(runner, *which.system, which.defect, options.seed,
                        {.seconds = budget, .stop = options.stop}, tally);
    row.cpu_seconds = tally.seconds;
    row.schedules = tally.schedules;
    if (found) {
      row.detected = true;
      row.found = shrink(runner, *std::move(found), tally);
      row.path = save(options.failures, row.found);
      // What counts is the text.
      const auto saved = schedule::parse_saved(print(row.found.saved));
      for (int i = 0; saved && i < 100; ++i) {
        const auto again = replay(runner, *saved, /*trace=*/false);
        if (!again.missed && again.outcome.failure == row.found.failure) ++row.replays;
      }
    }
    // What is not small or not the same again helps nobody.
    const bool small = row.detected && commands_of(row.found.saved.threads) <= most_commands &&
                       row.found.preemptions <= most_preemptions;
    if (!small || row.replays != 100) ++missed;
    if (options.done) options.done(row);
    report.rows.push_back(std::move(row));
  }
  report.seconds = seconds_since(begun);
  if (missed != 0) {
    report.verdict = props::Verdict::fail;
    report.reason = fmt::format(
        "{} of {} mutants were not detected, not again from their "
        "text, or by more than 6 commands or 4 preemptions",
        missed, report.rows.size());
  } else if (report.rows.size() < options.defects.size() || report.rows.empty()) {
    report.verdict = props::Verdict::no_verdict;
    report.reason = "stopped before every mutant had run";
  } else {
    report.reason = fmt::format("{} mutants detected", report.rows.size());
  }
  return report;
}

std::string text_report(const ScheduledMutantsReport& report) {
  std::string text = fmt::format("{:<30}{:<17}{:>9}{:>7}{:>13}  {}\n", "mutant", "found as",
                                 "schedules", "CPU s", "thr/cmd/pre", "replayed");
  for (const auto& row : report.rows) {
    const auto& defect = row.which.system->defects[row.which.defect];
    if (!row.detected) {
      text += fmt::format("{:<30}{:<17}{:>9}{:>7.2f}\n", defect.name, "NOT detected", row.schedules,
                          row.cpu_seconds);
      continue;
    }
    const auto& threads = row.found.saved.threads;
    text += fmt::format(
        "{:<30}{:<17}{:>9}{:>7.2f}{:>13}  {}/100\n", defect.name, name(row.found.failure.kind),
        row.schedules, row.cpu_seconds,
        fmt::format("{}/{}/{}", threads.size(), commands_of(threads), row.found.preemptions),
        row.replays);
  }
  std::vector<double> times;
  for (const auto& row : report.rows) times.push_back(row.cpu_seconds);
  if (!times.empty()) {
    std::ranges::sort(times);
    text += fmt::format("median {:.3f} CPU s to detection\n", times[times.size() / 2]);
  }
  return text + fmt::format("{}: {}\n", headline(report.verdict), report.reason);
}

nlohmann::json json_rows(const ScheduledMutantsReport& report) {
  auto rows = nlohmann::json::array();
  for (const auto& row : report.rows) {
    const auto& defect = row.which.system->defects[row.which.defect];
    nlohmann::json object = {{"name", defect.name},
                             {"engine", row.which.system->name},
                             {"title", defect.title},
                             {"history", defect.history},
                             {"reached", row.detected ? nlohmann::json(true) : nullptr},
                             {"detected", row.detected},
                             {"cpu_seconds", row.cpu_seconds},
                             {"schedules", row.schedules}};
    if (row.detected) {
      object["finding"] = row.found.failure.text;
      object["kind"] = name(row.found.failure.kind);
      object["threads"] = row.found.saved.threads.size();
      object["commands"] = commands_of(row.found.saved.threads);
      object["preemptions"] = row.found.preemptions;
      object["replays"] = row.replays;
      object["program"] = row.path.string();
    }
    rows.push_back(std::move(object));
  }
  return rows;
}

std::string page_of(const schedule::Saved& saved, const schedule::Replayed& replayed) {
  std::string text = wrapped(fmt::format("{}: {}", saved.system->name, saved.system->title));
  if (saved.defect != schedule::no_defect) {
    const auto& defect = saved.system->defects[saved.defect];
    text += wrapped(fmt::format("defect {}: {}", defect.name, defect.title));
  }
  text += wrapped(fmt::format("must hold: {}", saved.system->property));
  text += columns(replayed.outcome, static_cast<unsigned>(saved.threads.size()));
  if (replayed.outcome.failure) {
    for (const auto& turn : saved.turns) text += fmt::format("  {}\n", print(turn));
  }
  return text;
}

}  // namespace lockstep::jobs
