// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/schedules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <functional>
#include <sstream>

#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "hw/hosted/build/prepare.h"
#include "jobs/fresh_process.h"
#include "jobs/hosted_schedules.h"
#include "jobs/schedule_mutants.h"
#include "jobs/schedules.h"
#include "props/engine_factory.h"

namespace lockstep::cli {

using props::Verdict;

namespace {

struct Prepared {
  std::vector<std::string> systems;
  std::filesystem::path image;
};

/// The kernel is built if need be.
hw::kernels::Result<Prepared> prepare(const std::string& engine,
                                      const std::function<void(std::string_view)>& progress) {
  const auto name = jobs::scheduled_name(engine);
  if (!name) return hw::kernels::input_error(fmt::format("'{}' is no hosted engine", engine));
  const auto image = hw::hosted::prepare_hosted(*name, progress);
  if (!image) return tl::unexpected(image.error());
  Prepared prepared{.systems = {}, .image = *image};
  for (const auto& scenario : jobs::hosted_scenarios()) {
    prepared.systems.emplace_back(scenario.name);
  }
  return prepared;
}

/// An image that could not be had.
int unprepared(const JsonOutput& json, const std::string& message,
               const hw::kernels::KernelError& error) {
  if (error.cause == hw::kernels::KernelError::Cause::input) {
    return input_error(json.target(), message);
  }
  fmt::print(stderr, "lockstep: {}\n", message);
  return json.write(base_object(Verdict::no_verdict, 0, message), Verdict::no_verdict);
}

}  // namespace

tl::expected<std::string, std::string> engine_of_schedules(
    const std::vector<std::string>& engines) {
  for (const auto& name : engines) {
    if (auto unknown = props::unknown_engine(name)) return tl::unexpected(*std::move(unknown));
  }
  for (const auto& name : engines) {
    if (jobs::scheduled_name(name)) continue;
    return tl::unexpected(
        fmt::format("schedules do not run on '{}': without --engines on models, with one hosted "
                    "engine (hosted:6.1) on the CPUs of that kernel",
                    name));
  }
  if (engines.size() > 1) {
    return tl::unexpected(
        fmt::format("schedules run on one hosted engine at a time, not on {}: they are not "
                    "compared",
                    fmt::join(engines, ", ")));
  }
  return engines.empty() ? std::string() : engines.front();
}

int run_schedules(const SchedulesRun& run, const JsonOutput& json) {
  ProgressLine line;
  jobs::SchedulesOptions options;
  options.budget = run.budget;
  options.schedules = run.schedules;
  options.seed = run.seed;
  options.exhaustive = run.exhaustive;
  options.failures = run.failures;
  options.stop = &stop_on_interrupt();
  options.progress = [&line](std::string_view text) { line.show(text); };
  if (!run.engine.empty()) {
    auto prepared = prepare(run.engine, options.progress);
    if (!prepared) return unprepared(json, prepared.error().message, prepared.error());
    options.systems = std::move(prepared->systems);
    options.open = jobs::open_audited(prepared->image, run.engine);
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

int replay_schedule(const std::string& path, const std::string& text,
                    std::chrono::milliseconds deadline, const JsonOutput& json) {
  auto open = jobs::open_models();
  if (const std::string engine(props::schedule::saved_engine(text)); !engine.empty()) {
    ProgressLine line;
    auto prepared = prepare(engine, [&line](std::string_view shown) { line.show(shown); });
    line.clear();
    if (!prepared) {
      return unprepared(json, fmt::format("{}: {}", path, prepared.error().message),
                        prepared.error());
    }
    open = jobs::open_hosted(prepared->image, engine);
  }
  const auto replayed = jobs::replay_in_child(text, open, deadline);
  const auto& reason = replayed.reason;
  if (replayed.verdict == Verdict::input_error) {
    return input_error(json.target(), fmt::format("{}: {}", path, reason));
  }
  fmt::print(json.page(), "{}{}: {}{}\n", replayed.page, props::headline(replayed.verdict), path,
             reason.empty() ? "" : ": " + reason);
  auto object = base_object(replayed.verdict, 0, reason);
  if (!replayed.kind.empty()) {
    object["findings"].push_back({{"engine", replayed.system},
                                  {"kind", replayed.kind},
                                  {"invariant", nullptr},
                                  {"title", replayed.title},
                                  {"program", path},
                                  {"new", true}});
  }
  return json.write(object, replayed.verdict);
}

}  // namespace lockstep::cli
