// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/schedules.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "jobs/saved_schedules.h"
#include "props/child.h"
#include "props/commit.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;
using Clock = std::chrono::steady_clock;
using End = ScheduleEnd::Kind;
using props::Verdict;

/// What a search may still take once it was told to stop: one program's schedules.
constexpr std::chrono::seconds stop_grace{10};

bool stopped(const std::atomic<bool>* stop) { return stop != nullptr && stop->load(); }

/// Where a saved schedule says what it is; none if there is no such file.
std::optional<std::string> second_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || !std::getline(file, line)) return std::nullopt;
  return line;
}

/// Equal failures of a system share a name, others of the same kind get a number.
std::filesystem::path save(const std::filesystem::path& folder, const std::string& system,
                           const ScheduleFinding& finding) {
  if (finding.saved.empty()) return {};
  std::string text = finding.saved;
  const schedule::Failure bug{.text = fmt::format("# {}: {}", finding.kind, finding.title)};
  std::string comments = fmt::format("{}\n# lockstep {}\n", bug.text, props::lockstep_commit());
  if (finding.unsteady) {
    comments += "# the same order gave another run: it depends on more than that\n";
  }
  text.insert(std::min(text.find('\n'), text.size() - 1) + 1, comments);
  std::string stem = fmt::format("{}-{}", system, finding.kind);
  constexpr unsigned most_numbers = 1000;
  for (unsigned number = 2; number < most_numbers; ++number) {
    const auto line = second_line(schedule_path(folder, stem));
    if (!line) break;
    const schedule::Failure there{.text = *line};
    if (same_bug(there, bug) || same_bug(bug, there)) break;
    stem = fmt::format("{}-{}-{}", system, finding.kind, number);
  }
  return write_schedule(folder, stem, text);
}

nlohmann::json wire_of(const ScheduleFinding& finding) {
  return {{"kind", finding.kind},
          {"title", finding.title},
          {"saved", finding.saved},
          {"page", finding.page},
          {"unsteady", finding.unsteady}};
}

ScheduleFinding finding_from(const nlohmann::json& wire) {
  return {.kind = wire.value("kind", ""),
          .title = wire.value("title", ""),
          .saved = wire.value("saved", ""),
          .page = wire.value("page", ""),
          .unsteady = wire.value("unsteady", false)};
}

ScheduleFinding finding_of(const schedule::Found& found) {
  return {.kind = std::string(name(found.failure.kind)),
          .title = found.failure.text,
          .saved = print(found.saved),
          .page = {},
          .unsteady = found.unsteady};
}

nlohmann::json wire_of(const schedule::Tally& tally) {
  return {{"schedules", tally.schedules},
          {"programs", tally.programs},
          {"seconds", tally.seconds},
          {"audits", tally.audits}};
}

schedule::Tally tally_from(const nlohmann::json& wire) {
  return {.schedules = wire.value("schedules", std::uint64_t{0}),
          .programs = wire.value("programs", std::uint64_t{0}),
          .seconds = wire.value("seconds", 0.0),
          .audits = wire.value("audits", std::uint64_t{0})};
}

/// All programs of two threads and two commands, or those that the time allows.
schedule::Covered cover(schedule::Runner& runner, const schedule::System& system, double seconds,
                        const std::atomic<bool>& stop, schedule::Tally& tally) {
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  return exhaust_all(runner, system, schedule::no_defect, /*threads=*/2, /*commands=*/2,
                     /*preemptions=*/3, tally,
                     [&](const schedule::Threads&) { return !stop.load() && Clock::now() < end; });
}

/// One system, in the child.
nlohmann::json search_here(schedule::Runner& runner, const Say& say,
                           const SchedulesOptions& options, const std::string& name, double seconds,
                           const std::atomic<bool>& stop) {
  const auto opened = options.open();
  if (!opened) return {{"broken", opened.error()}};
  const auto* const system = schedule::find_system(name, opened->systems);
  if (system == nullptr) return {{"broken", fmt::format("no system '{}'", name)}};
  say({{"head", head_of(*system)}, {"property", system->property}});
  schedule::Tally tally;
  bool complete = false;
  std::optional<schedule::Found> found;
  if (options.exhaustive) {
    auto covered = cover(runner, *system, seconds, stop, tally);
    complete = covered.complete;
    found = std::move(covered.found);
  } else {
    schedule::SearchLimits limits{.seconds = seconds, .stop = &stop};
    if (options.schedules != 0) limits.schedules = options.schedules;
    if (opened->audit) {
      limits.audit = [&](const auto& threads, const auto& outcome) {
        return opened->audit(*system, threads, outcome);
      };
    }
    found = search(runner, *system, schedule::no_defect, options.seed, limits, tally);
    complete = options.schedules != 0 && tally.schedules == options.schedules && !found;
  }
  if (found) {
    // Neither a smaller one nor its page is sure to come.
    say({{"finding", wire_of(finding_of(*found))}});
    schedule::Tally shrinking;
    if (!found->unsteady) found = shrink(runner, *std::move(found), shrinking);
    auto finding = finding_of(*found);
    finding.page = page_of(found->saved, replay(runner, found->saved, /*trace=*/true));
    say({{"finding", wire_of(finding)}});
  }
  return {{"tally", wire_of(tally)}, {"complete", complete}, {"broken", tally.broken}};
}

/// One system, and the child that runs it.
class IsolatedSearch {
 public:
  IsolatedSearch(const SchedulesOptions& options, const std::string& name, double seconds)
      : options_(options), name_(name), seconds_(seconds) {
    result_.name = name;
  }

  ScheduledSystem run() {
    if (!witness_ || !stop_) {
      result_.broken = "no shared memory";
      return std::move(result_);
    }
    const auto end =
        run_in_child(*witness_,
                     [&](schedule::Runner& runner, const Say& say) {
                       return search_here(runner, say, options_, name_, seconds_, *stop_);
                     },
                     {.patience = options_.patience,
                      .heard = [&](const nlohmann::json& what) { hear(what); },
                      .tick = [&](const schedule::Witness&) { return must_end(); }});
    if (end.kind == End::answered) {
      result_.tally = tally_from(end.answer.value("tally", nlohmann::json::object()));
      result_.complete = end.answer.value("complete", false);
      result_.broken = end.answer.value("broken", "");
    } else {
      result_.tally = {.schedules = witness_->runs(), .seconds = end.cpu_seconds};
    }
    if (end.kind == End::lost) result_.broken = end.how;
    if (found_) add(*std::move(found_));
    if (end.died()) add(deadly(end));
    return std::move(result_);
  }

 private:
  void hear(const nlohmann::json& what) {
    if (what.contains("head")) {
      head_ = what["head"].get<std::string>();
      result_.property = what["property"].get<std::string>();
    }
    if (!what.contains("finding")) return;
    found_ = finding_from(what["finding"]);
    found_->path = save(options_.failures, name_, *found_);
  }

  bool must_end() {
    if (options_.progress) {
      options_.progress(fmt::format("{}: {} schedules{}", name_, witness_->runs(),
                                    found_ ? ", one fails and becomes smaller" : ""));
    }
    if (!stopped(options_.stop)) return false;
    stop_->store(true);
    if (!stopped_) stopped_ = Clock::now();
    // What it found is here already.
    return found_ || Clock::now() - *stopped_ > stop_grace;
  }

  void add(ScheduleFinding finding) {
    if (finding.page.empty()) {
      finding.page = page_without_trace(head_, finding.saved,
                                        fmt::format("{}: {}", finding.kind, finding.title));
    }
    result_.findings.push_back(std::move(finding));
  }

  ScheduleFinding deadly(const ScheduleEnd& end) {
    auto pinned = pin_down(end, *witness_, options_.open, options_.patience);
    ScheduleFinding finding{.kind = std::move(pinned.kind),
                            .title = std::move(pinned.title),
                            .saved = std::move(pinned.saved),
                            .page = {},
                            .unsteady = pinned.unsteady};
    finding.path = save(options_.failures, name_, finding);
    finding.page = page_without_trace(head_, finding.saved,
                                      fmt::format("{}: {}", finding.kind, finding.title)) +
                   end.words;
    if (!finding.page.ends_with('\n')) finding.page += '\n';
    return finding;
  }

  const SchedulesOptions& options_;
  std::string name_;
  double seconds_;
  props::SharedObject<schedule::Witness> witness_;
  props::SharedObject<std::atomic<bool>> stop_;
  std::optional<Clock::time_point> stopped_;
  std::string head_;
  std::optional<ScheduleFinding> found_;
  ScheduledSystem result_;
};

void conclude(const SchedulesOptions& options, SchedulesReport& report) {
  std::size_t failing = 0;
  std::uint64_t schedules = 0;
  bool complete = true;
  const ScheduledSystem* broken = nullptr;
  for (const auto& system : report.systems) {
    failing += system.findings.empty() ? 0 : 1;
    schedules += system.tally.schedules;
    complete = complete && system.complete;
    if (broken == nullptr && !system.broken.empty()) broken = &system;
  }
  if (failing != 0) {
    report.verdict = Verdict::fail;
    report.reason = fmt::format("{} of {} systems fail", failing, options.systems.size());
  } else if (broken != nullptr) {
    report.verdict = Verdict::no_verdict;
    report.reason = fmt::format("{}: {}", broken->name, broken->broken);
  } else if (report.systems.size() < options.systems.size() || stopped(options.stop)) {
    report.verdict = Verdict::no_verdict;
    report.reason = "stopped before every system had run";
  } else if (options.exhaustive && !complete) {
    report.verdict = Verdict::no_verdict;
    report.reason = "time ran out before every schedule within the bound had run";
  } else if (options.schedules != 0 && !complete) {
    report.verdict = Verdict::no_verdict;
    report.reason =
        fmt::format("time ran out before {} schedules of each system had run", options.schedules);
  } else {
    report.reason =
        options.exhaustive
            ? fmt::format("all {} schedules of 2 threads, 2 commands each, 3 preemptions",
                          schedules)
            : fmt::format("{} schedules, seed {}", schedules, options.seed);
  }
}

}  // namespace

OpenSystems open_models() {
  return []() -> tl::expected<OpenedSystems, std::string> {
    return OpenedSystems{.systems = schedule::systems()};
  };
}

SchedulesReport run_schedules(const SchedulesOptions& asked) {
  const auto begun = Clock::now();
  SchedulesOptions options = asked;
  if (!options.open) options.open = open_models();
  if (options.systems.empty()) {
    for (const auto& system : schedule::systems()) options.systems.emplace_back(system.name);
  }
  SchedulesReport report;
  const double share = std::chrono::duration<double>(options.budget).count() /
                       static_cast<double>(options.systems.size());
  for (const auto& name : options.systems) {
    report.systems.push_back(IsolatedSearch(options, name, share).run());
    // What cannot be opened once cannot be opened for the others.
    if (!report.systems.back().broken.empty() || stopped(options.stop)) break;
  }
  report.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  conclude(options, report);
  return report;
}

std::string text_report(const SchedulesReport& report) {
  std::string text;
  for (const auto& system : report.systems) {
    const auto& tally = system.tally;
    text += fmt::format(
        "{}: {} programs, {} schedules, {:.0f} a CPU second{}\n", system.name, tally.programs,
        tally.schedules, static_cast<double>(tally.schedules) / std::max(tally.seconds, 1e-9),
        tally.audits == 0 ? "" : fmt::format(", {} of them as in a fresh process", tally.audits));
    if (!system.property.empty()) text += fmt::format("    {}\n", system.property);
    if (!system.broken.empty()) text += fmt::format("    no verdict: {}\n", system.broken);
    for (const auto& finding : system.findings) {
      text += finding.page;
      text += finding.path.empty() ? "  not saved\n" : fmt::format("  {}\n", finding.path.string());
    }
  }
  return text + fmt::format("{}: {}\n", headline(report.verdict), report.reason);
}

nlohmann::json json_report(const SchedulesReport& report) {
  auto engines = nlohmann::json::array();
  auto findings = nlohmann::json::array();
  for (const auto& system : report.systems) {
    const auto& tally = system.tally;
    engines.push_back({{"name", system.name},
                       {"commands", 0},
                       {"cases", tally.schedules},
                       {"programs", tally.programs},
                       {"audits", tally.audits},
                       {"cpu_seconds", tally.seconds},
                       {"complete", system.complete},
                       {"broken", system.broken},
                       {"skipped", nlohmann::json::object()},
                       {"reached", nlohmann::json::object()},
                       {"loosenesses", nlohmann::json::object()}});
    for (const auto& finding : system.findings) {
      findings.push_back({{"engine", system.name},
                          {"kind", finding.kind},
                          {"invariant", nullptr},
                          {"title", finding.title},
                          {"program", finding.path.string()},
                          {"new", true}});
    }
  }
  return {{"engines", std::move(engines)}, {"findings", std::move(findings)}};
}

ReplayedSchedule replay_in_child(const std::string& text, const OpenSystems& open,
                                 std::chrono::milliseconds patience) {
  ReplayedSchedule replayed;
  const props::SharedObject<schedule::Witness> witness;
  if (!witness) {
    replayed.reason = "no shared memory";
    return replayed;
  }
  std::string head;
  const auto body = [&](schedule::Runner& runner, const Say& say) -> nlohmann::json {
    const auto opened = open();
    if (!opened) return {{"broken", opened.error()}};
    const auto saved = schedule::parse_saved(text, opened->systems);
    if (!saved) return {{"wrong", saved.error()}};
    say({{"system", saved->system->name}, {"head", head_of(*saved->system)}});
    const auto outcome = replay(runner, *saved, /*trace=*/true);
    nlohmann::json answer = {{"page", page_of(*saved, outcome)}};
    if (const auto& failure = outcome.outcome.failure) {
      answer["kind"] = name(failure->kind);
      answer["title"] = failure->text;
    } else if (outcome.missed) {
      answer["missed"] = schedule::print(*outcome.missed);
    }
    return answer;
  };
  const auto end =
      run_in_child(*witness, body, {.patience = patience, .heard = [&](const nlohmann::json& what) {
                                      replayed.system = what.value("system", "");
                                      head = what.value("head", "");
                                    }});
  if (end.kind == End::answered) {
    replayed.ran = end.answer.contains("page");
    replayed.page = end.answer.value("page", "");
    replayed.kind = end.answer.value("kind", "");
    replayed.title = end.answer.value("title", "");
  } else if (end.died()) {
    replayed.kind = deadly_kind(end);
    replayed.title = deadly_title(end);
    replayed.page =
        page_without_trace(head, text, fmt::format("{}: {}", replayed.kind, replayed.title));
  } else {
    replayed.reason = end.how;
    return replayed;
  }
  if (!replayed.kind.empty()) {
    replayed.verdict = Verdict::fail;
    replayed.reason = fmt::format("{}: {}", replayed.kind, replayed.title);
  } else if (end.answer.contains("wrong")) {
    replayed.verdict = Verdict::input_error;
    replayed.reason = end.answer.value("wrong", "");
  } else if (end.answer.contains("broken")) {
    replayed.reason = end.answer.value("broken", "");
  } else if (end.answer.contains("missed")) {
    replayed.reason =
        fmt::format("the code has changed, '{}' did not come", end.answer.value("missed", ""));
  } else {
    replayed.verdict = Verdict::pass;
  }
  return replayed;
}

}  // namespace lockstep::jobs
