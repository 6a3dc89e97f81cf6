// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/schedule_mutants.h"

#include <fmt/format.h>

#include <algorithm>

#include "jobs/saved_schedules.h"
#include "props/commit.h"
#include "spec/text_suggest.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

/// Equal failures of a mutant share a name.
std::filesystem::path save(const std::filesystem::path& folder, schedule::Found& found) {
  const schedule::Saved& saved = found.saved;
  found.saved.comments = {fmt::format("{}: {}", name(found.failure.kind), found.failure.text),
                          fmt::format("lockstep {}", props::lockstep_commit())};
  return write_schedule(
      folder,
      fmt::format("{}-{}-{}", saved.system->name, saved.system->defects[saved.defect].name,
                  name(found.failure.kind)),
      print(saved));
}

/// A mutant's schedule must shrink to these, and to its own number of commands.
constexpr unsigned most_preemptions = 4;

std::size_t commands_of(const schedule::Threads& threads) {
  std::size_t commands = 0;
  for (const auto& thread : threads) commands += thread.size();
  return commands;
}

bool stopped(const std::atomic<bool>* stop) { return stop != nullptr && stop->load(); }

}  // namespace

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
    const bool small =
        row.detected &&
        commands_of(row.found.saved.threads) <= which.system->defects[which.defect].commands &&
        row.found.preemptions <= most_preemptions;
    if (!small || row.replays != 100) ++missed;
    if (options.done) options.done(row);
    report.rows.push_back(std::move(row));
  }
  report.seconds = seconds_since(begun);
  if (missed != 0) {
    report.verdict = props::Verdict::fail;
    report.reason = fmt::format(
        "{} of {} mutants were not detected, not again from their text, or by more commands "
        "than they need or {} preemptions",
        missed, report.rows.size(), most_preemptions);
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

}  // namespace lockstep::jobs
