// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/schedules.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <sstream>
#include <stop_token>
#include <thread>

#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "hw/hosted/build/prepare.h"
#include "jobs/fresh_process.h"
#include "jobs/hosted_schedules.h"
#include "jobs/schedules.h"

namespace lockstep::cli {

using props::Verdict;

namespace {

struct Opened {
  std::unique_ptr<jobs::HostedSystems> systems;
  std::optional<jobs::FreshProcess> fresh;
};

/// The kernel is built if need be.
tl::expected<Opened, std::string> open_systems(
    const std::string& engine, const std::function<void(std::string_view)>& progress) {
  const auto name = jobs::scheduled_name(engine);
  if (!name) return tl::unexpected(fmt::format("'{}' is no hosted engine", engine));
  const auto image = hw::hosted::prepare_hosted(*name, progress);
  if (!image) return tl::unexpected(image.error().message);
  auto fresh = jobs::FreshProcess::start(*image, engine);
  if (!fresh) return tl::unexpected(fresh.error());
  auto systems = jobs::HostedSystems::open(*image, engine);
  if (!systems) return tl::unexpected(systems.error());
  return Opened{std::move(*systems), std::move(*fresh)};
}

/// A kernel that loops between two scheduling points gives control back to nobody: once the
/// process has used its budget and a margin, say so and end it.
class Deadline {
 public:
  Deadline(std::chrono::milliseconds budget, const std::string& engine, const JsonOutput& json)
      : watch_([=, &json](const std::stop_token& stop) {
          constexpr std::chrono::seconds margin{30};
          const double most = std::chrono::duration<double>(budget + margin).count();
          while (!stop.stop_requested()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            const double used = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
            if (used < most) continue;
            const std::string reason =
                fmt::format("{} did not come back from a schedule ({:.0f} CPU s)", engine, used);
            fmt::print(json.page(), "no verdict: {}\n", reason);
            const int status =
                json.write(base_object(Verdict::no_verdict, used, reason), Verdict::no_verdict);
            std::fflush(nullptr);
            std::_Exit(status);
          }
        }) {}

 private:
  std::jthread watch_;
};

}  // namespace

int run_schedules(const SchedulesRun& run, const JsonOutput& json) {
  ProgressLine line;
  jobs::SchedulesOptions options;
  options.budget = run.budget;
  options.seed = run.seed;
  options.exhaustive = run.exhaustive;
  options.failures = run.failures;
  options.stop = &stop_on_interrupt();
  options.progress = [&line](std::string_view text) { line.show(text); };
  Opened hosted;
  std::optional<Deadline> deadline;
  if (!run.engine.empty()) {
    auto opened = open_systems(run.engine, options.progress);
    if (!opened) return input_error(json.target(), opened.error());
    hosted = std::move(*opened);
    deadline.emplace(run.budget, run.engine, json);
    options.systems = hosted.systems->systems();
    options.audit = [&](const auto& system, const auto& threads, const auto& outcome) {
      return hosted.fresh->compare(system, threads, outcome);
    };
  }
  const auto report = jobs::run_schedules(options);
  line.clear();
  fmt::print(json.page(), "{}", jobs::text_report(report));
  auto object = base_object(report.verdict, report.seconds, report.reason);
  object["seed"] = run.seed;
  object["property"] = run.exhaustive ? "schedules-exhaustive" : "schedules";
  object.update(jobs::json_report(report));
  return json.write(object, report.verdict);
}

int run_schedule_mutants(const ScheduleMutantsRun& run, const JsonOutput& json) {
  auto chosen = jobs::choose_defects(run.names);
  if (!chosen) return input_error(json.target(), chosen.error());
  if (run.list) {
    auto rows = nlohmann::json::array();
    for (const auto& [system, index] : *chosen) {
      const auto& defect = system->defects[index];
      fmt::print(json.page(), "{}\n    {} ({}; {})\n", defect.name, defect.title, system->name,
                 defect.history);
      rows.push_back({{"name", defect.name},
                      {"engine", system->name},
                      {"title", defect.title},
                      {"history", defect.history}});
    }
    auto object = base_object(Verdict::pass, 0);
    object["mutants"] = std::move(rows);
    return json.write(object, Verdict::pass);
  }
  jobs::ScheduledMutantsOptions options;
  options.defects = *std::move(chosen);
  options.budget = run.budget;
  options.seed = run.seed;
  options.failures = run.failures;
  options.stop = &stop_on_interrupt();
  const auto report = jobs::run_schedule_mutants(options);
  fmt::print(json.page(), "{}", jobs::text_report(report));
  auto object = base_object(report.verdict, report.seconds, report.reason);
  object["mutants"] = jobs::json_rows(report);
  return json.write(object, report.verdict);
}

bool is_schedule(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    return line.compare(first, props::schedule::saved_header.find(' '), "lockstep-schedule") == 0;
  }
  return false;
}

int replay_schedule(const std::string& path, const std::string& text, const JsonOutput& json) {
  Opened hosted;
  if (const auto engine = props::schedule::saved_engine(text); !engine.empty()) {
    ProgressLine line;
    auto opened =
        open_systems(std::string(engine), [&line](std::string_view shown) { line.show(shown); });
    line.clear();
    if (!opened) return input_error(json.target(), fmt::format("{}: {}", path, opened.error()));
    hosted = std::move(*opened);
  }
  const auto saved = props::schedule::parse_saved(
      text, hosted.systems ? hosted.systems->systems() : props::schedule::systems());
  if (!saved) return input_error(json.target(), fmt::format("{}: {}", path, saved.error()));
  props::schedule::Runner runner;
  const auto replayed = replay(runner, *saved, /*trace=*/true);
  const auto& failure = replayed.outcome.failure;
  auto verdict = failure ? Verdict::fail : Verdict::pass;
  std::string reason;
  if (failure) {
    reason = fmt::format("{}: {}", name(failure->kind), failure->text);
  } else if (replayed.missed) {
    verdict = Verdict::no_verdict;
    reason = fmt::format("the code has changed, '{}' did not come",
                         props::schedule::print(*replayed.missed));
  }
  fmt::print(json.page(), "{}{}: {}{}\n", jobs::page_of(*saved, replayed), props::headline(verdict),
             path, reason.empty() ? "" : ": " + reason);
  auto object = base_object(verdict, 0, reason);
  if (failure) {
    object["findings"].push_back({{"engine", saved->system->name},
                                  {"kind", name(failure->kind)},
                                  {"invariant", nullptr},
                                  {"title", failure->text},
                                  {"program", path},
                                  {"new", true}});
  }
  return json.write(object, verdict);
}

}  // namespace lockstep::cli
