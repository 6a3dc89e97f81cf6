// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/replay_unit.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <new>

#include "cli/isolate.h"
#include "cli/json_output.h"
#include "cli/read_program.h"
#include "cli/step_table.h"
#include "cli/terminal.h"
#include "props/command_kind.h"
#include "props/lockstep.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using props::Verdict;

/// Position::step before the first.
constexpr std::uint64_t no_step = ~0ull;

/// A Position that both processes see.
class SharedPosition {
 public:
  SharedPosition()
      : memory_(mmap(nullptr, sizeof(props::Position), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
    position_ = new (memory_) props::Position;
  }
  SharedPosition(const SharedPosition&) = delete;
  SharedPosition& operator=(const SharedPosition&) = delete;
  ~SharedPosition() { munmap(memory_, sizeof(props::Position)); }
  props::Position& operator*() { return *position_; }

 private:
  void* memory_;
  props::Position* position_ = nullptr;
};

std::string heading(const ReplayUnit::Entry& entry) {
  return entry.program.title.empty() ? entry.path
                                     : fmt::format("{}: {}", entry.path, entry.program.title);
}

std::string verdict_line(Verdict verdict, const std::string& path, const std::string& reason) {
  return fmt::format("{}: {}{}\n", props::headline(verdict), path,
                     reason.empty() ? "" : ": " + reason);
}

/// Runs inside the child; one line of JSON a program goes to the parent.
class Child {
 public:
  Child(const ReplayOptions& options, props::Position& position, const Say& say)
      : options_(options), position_(position), say_(say) {}

  void run(const ReplayUnit& unit) {
    if (const auto broken = make_engines()) {
      for (const auto& entry : unit.programs) {
        report(entry, Verdict::no_verdict, *broken, {});
      }
      return;
    }
    bool fresh = true;
    for (const auto& entry : unit.programs) {
      const auto outcome = run_one(entry, fresh);
      // A finding may leave anything behind.
      fresh = outcome.verdict != Verdict::pass;
      if (!outcome.broken.empty()) {
        if (const auto broken = make_engines()) return;
      }
    }
  }

 private:
  std::optional<std::string> make_engines() {
    std::vector<std::unique_ptr<Engine>> engines;
    for (const auto& name : options_.engines.names) {
      auto engine = props::make_engine(name, /*seed=*/1);
      if (!engine) return fmt::format("{}: {}", name, engine.error().message);
      engines.push_back(std::move(*engine));
    }
    lockstep_.emplace(std::move(engines), props::machine_models());
    return std::nullopt;
  }

  /// Engines that take part. Of those that nobody asked for by name, one that
  /// lacks something stays out if something other than the spec is left.
  std::uint64_t mask(const Program& program, std::vector<std::string>& skipped) {
    std::uint64_t able = 0;
    bool comparable = false;
    std::vector<std::string> reasons;
    for (std::size_t i = 0; i < lockstep_->size(); ++i) {
      const auto& engine = lockstep_->engine(i);
      if (const auto reason = props::lacks(engine.platform(), program)) {
        reasons.push_back(fmt::format("{}: {}", engine.name(), *reason));
      } else {
        able |= 1ull << i;
        comparable = comparable || engine.name() != "spec";
      }
    }
    if (options_.engines.asked || !comparable) return ~0ull;
    skipped = std::move(reasons);
    return able;
  }

  props::Outcome run_one(const ReplayUnit::Entry& entry, bool fresh) {
    std::vector<std::string> skipped;
    const auto engines = mask(entry.program, skipped);
    StepTable table(entry.program);
    position_.step.store(no_step, std::memory_order_relaxed);
    props::RunOptions running;
    running.fresh = fresh;
    running.position = &position_;
    if (options_.steps) {
      fmt::print(options_.page, "{}\n", heading(entry));
      running.watch = [&](const props::StepTrace& trace) {
        fmt::print(options_.page, "{}", table.lines(trace));
      };
    }
    const auto outcome = lockstep_->run(entry.program, running, engines);
    for (const auto& skip : outcome.skips) {
      skipped.push_back(fmt::format("{}: {}", skip.engine, skip.reason));
    }
    for (const auto& line : skipped) fmt::print(options_.page, "skipped: {}\n", line);
    std::string reason = outcome.reason;
    std::optional<json> finding;
    if (outcome.finding) {
      reason = outcome.finding->title;
      finding = finding_object(*outcome.finding, entry.path);
      fmt::print(options_.page, "{}\n", props::side_by_side(*outcome.finding));
    }
    report(entry, outcome.verdict, reason, std::move(skipped), std::move(finding));
    return outcome;
  }

  void report(const ReplayUnit::Entry& entry, Verdict verdict, const std::string& reason,
              std::vector<std::string> skipped, std::optional<json> finding = std::nullopt) {
    fmt::print(options_.page, "{}", verdict_line(verdict, entry.path, reason));
    std::fflush(options_.page);
    const json line = {{"verdict", props::exit_code(verdict)},
                       {"reason", reason},
                       {"skipped", std::move(skipped)},
                       {"finding", finding ? *finding : json()}};
    say_(line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  }

  const ReplayOptions& options_;
  props::Position& position_;
  const Say& say_;
  std::optional<props::Lockstep> lockstep_;
};

/// The results that the child told of before it ended.
std::vector<Replayed> parse_results(const ReplayUnit& unit, const std::string& said) {
  std::vector<Replayed> results;
  std::size_t at = 0;
  while (results.size() < unit.programs.size()) {
    const auto end = said.find('\n', at);
    if (end == std::string::npos) break;
    const auto line = json::parse(said.substr(at, end - at), nullptr, /*allow_exceptions=*/false);
    at = end + 1;
    if (!line.is_object()) break;
    Replayed result;
    result.path = unit.programs[results.size()].path;
    result.verdict = static_cast<Verdict>(line.value("verdict", 3));
    result.reason = line.value("reason", "");
    result.skipped = line.value("skipped", std::vector<std::string>());
    if (line.contains("finding") && line["finding"].is_object()) result.finding = line["finding"];
    results.push_back(std::move(result));
  }
  return results;
}

/// The finding about the program during which the child ended.
Replayed ended_early(const ReplayUnit::Entry& entry, const Ended& ended,
                     const std::vector<std::string>& engines, const props::Position& position) {
  const auto who = position.engine.load(std::memory_order_relaxed);
  const auto index = position.step.load(std::memory_order_relaxed);
  Replayed result;
  result.path = entry.path;
  props::Finding finding;
  finding.kind = ended.hung ? props::FindingKind::hang : props::FindingKind::crash;
  const bool model = position.judging.load(std::memory_order_relaxed) != 0;
  if (ended.hung && model) {
    result.reason = "time ran out while the model judged";
    return result;
  }
  finding.engine = model || who >= engines.size() ? "spec" : engines[who];
  std::string where;
  if (index < entry.program.steps.size()) {
    const auto& command = entry.program.steps[index].command;
    finding.step = index;
    finding.command_kind = props::command_kind(command);
    finding.command = print(command, entry.program.configuration.paging);
    where = fmt::format(" at {}", finding.command_kind);
  }
  finding.title =
      fmt::format("{} {}{}", finding.engine,
                  ended.hung ? "did not answer in time" : "died: " + *ended.died, where);
  result.verdict = Verdict::fail;
  result.reason = finding.step ? fmt::format("step {}: {}: {}", *finding.step + 1, finding.command,
                                             finding.title)
                               : finding.title;
  result.finding = finding_object(finding, entry.path);
  return result;
}

}  // namespace

tl::expected<ReplayUnit, std::string> read_unit(const std::string& path) {
  ReplayUnit unit{.path = path, .programs = {}};
  std::vector<std::string> files;
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    for (const auto& file : std::filesystem::directory_iterator(path, error)) {
      if (file.is_regular_file()) files.push_back(file.path().string());
    }
    std::ranges::sort(files);
    if (files.empty()) return tl::unexpected(path + ": a folder without programs");
  } else {
    files.push_back(path);
  }
  for (const auto& file : files) {
    auto program = read_program(file);
    if (!program) return tl::unexpected(program.error());
    unit.programs.push_back({file, std::move(*program)});
  }
  return unit;
}

std::vector<Replayed> replay_unit(const ReplayUnit& unit, const ReplayOptions& options) {
  SharedPosition position;
  const auto ended =
      isolated([&](const Say& say) { Child(options, *position, say).run(unit); }, options.deadline);
  std::vector<Replayed> results;
  std::string reason = "not run";
  if (!ended) {
    reason = ended.error();
  } else {
    results = parse_results(unit, ended->said);
    if (ended->hung || ended->died) {
      // After the last result: its engines died as they were taken down.
      if (results.size() == unit.programs.size()) results.pop_back();
      auto result =
          ended_early(unit.programs[results.size()], *ended, options.engines.names, *position);
      fmt::print(options.page, "{}", verdict_line(result.verdict, result.path, result.reason));
      results.push_back(std::move(result));
      reason = "not run: an engine had ended before";
    }
  }
  while (results.size() < unit.programs.size()) {
    const auto& path = unit.programs[results.size()].path;
    fmt::print(options.page, "{}", verdict_line(Verdict::no_verdict, path, reason));
    results.push_back({path, Verdict::no_verdict, reason, std::nullopt, {}});
  }
  std::fflush(options.page);
  return results;
}

}  // namespace lockstep::cli
