// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/replay_unit.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "cli/json_output.h"
#include "cli/read_program.h"
#include "cli/step_table.h"
#include "hw/hosted/open.h"
#include "hw/qemu/names.h"
#include "props/boot_allowance.h"
#include "props/child.h"
#include "props/death.h"
#include "props/lockstep.h"

namespace lockstep::cli {
namespace {

using nlohmann::json;
using props::Verdict;

/// Position::step before the first.
constexpr std::uint64_t no_step = ~0ull;
/// The child's last message: its engines were taken down in peace.
constexpr std::string_view farewell = "end";

std::string heading(const ReplayUnit::Entry& entry) {
  return entry.program.title.empty() ? entry.path
                                     : fmt::format("{}: {}", entry.path, entry.program.title);
}

std::string verdict_line(Verdict verdict, const std::string& path, const std::string& reason) {
  return fmt::format("{}: {}{}\n", props::headline(verdict), path,
                     reason.empty() ? "" : ": " + reason);
}

/// Runs inside the child; one message a program goes to the parent.
class Runner {
 public:
  Runner(const ReplayOptions& options, props::Position& position, props::Channel& channel)
      : options_(options), position_(position), channel_(channel) {}

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
  /// lacks something stays out if something other than the spec is left; and so does
  /// one MMU mode of a kernel whose other modes can run the program.
  std::uint64_t mask(const Program& program, std::vector<std::string>& skipped) {
    std::uint64_t able = 0;
    bool comparable = false;
    std::vector<std::string> reasons;
    std::vector<std::size_t> unable;
    for (std::size_t i = 0; i < lockstep_->size(); ++i) {
      const auto& engine = lockstep_->engine(i);
      if (const auto reason = props::lacks(engine.platform(), program)) {
        reasons.push_back(fmt::format("{}: {}", engine.name(), *reason));
        unable.push_back(i);
      } else {
        able |= 1ull << i;
        comparable = comparable || engine.name() != "spec";
      }
    }
    if (!options_.engines.asked && comparable) {
      skipped = std::move(reasons);
      return able;
    }
    std::uint64_t wanted = ~0ull;
    for (std::size_t at = 0; at < unable.size(); ++at) {
      if (!another_mode_runs(unable[at], able)) continue;
      wanted &= ~(1ull << unable[at]);
      skipped.push_back(std::move(reasons[at]));
    }
    return wanted;
  }

  /// Whether one of the able engines is the same kernel in another MMU mode.
  bool another_mode_runs(std::size_t index, std::uint64_t able) {
    for (std::size_t i = 0; i < lockstep_->size(); ++i) {
      if (((able >> i) & 1u) != 0 &&
          hw::same_qemu_kernel(lockstep_->engine(i).name(), lockstep_->engine(index).name())) {
        return true;
      }
    }
    return false;
  }

  /// The inside of every engine that shows it.
  std::string view_lines() {
    std::string text;
    for (std::size_t i = 0; i < lockstep_->size(); ++i) {
      auto& engine = lockstep_->engine(i);
      const auto view = hw::hosted_view(engine);
      if (!view) continue;
      text += fmt::format("{} {}\n", engine.name(),
                          *view ? spec::print(**view) : view->error().message);
    }
    return text.empty() ? "no engine here shows its inside\n" : text;
  }

  props::Outcome run_one(const ReplayUnit::Entry& entry, bool fresh) {
    std::vector<std::string> skipped;
    const auto engines = mask(entry.program, skipped);
    StepTable table(entry.program);
    position_.step.store(no_step, std::memory_order_relaxed);
    props::RunOptions running;
    running.fresh = fresh;
    running.position = &position_;
    std::string views;
    if (options_.steps) fmt::print(options_.page, "{}\n", heading(entry));
    if (options_.steps || options_.view) {
      running.watch = [&](const props::StepTrace& trace) {
        if (options_.steps) fmt::print(options_.page, "{}", table.lines(trace));
        // Which step is the last is known when there is no other.
        if (options_.view) views = view_lines();
      };
    }
    const auto outcome = lockstep_->run(entry.program, running, engines);
    if (options_.view) fmt::print(options_.page, "{}", views);
    for (const auto& skip : outcome.skips) {
      skipped.push_back(fmt::format("{}: {}", skip.engine, skip.reason));
    }
    for (const auto& line : skipped) fmt::print(options_.page, "skipped: {}\n", line);
    std::string reason = outcome.reason;
    // Who did not take part belongs on the line that says pass.
    if (outcome.verdict == Verdict::pass && !skipped.empty()) {
      reason = fmt::format("without {}", fmt::join(skipped, ", "));
    }
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
    channel_.send(line.dump(-1, ' ', false, json::error_handler_t::replace));
  }

  const ReplayOptions& options_;
  props::Position& position_;
  props::Channel& channel_;
  std::optional<props::Lockstep> lockstep_;
};

/// A message of the child; none if it is not one.
std::optional<Replayed> parse_result(const std::string& path, const std::string& message) {
  const auto line = json::parse(message, nullptr, /*allow_exceptions=*/false);
  if (!line.is_object()) return std::nullopt;
  Replayed result;
  result.path = path;
  result.verdict = static_cast<Verdict>(line.value("verdict", 3));
  result.reason = line.value("reason", "");
  result.skipped = line.value("skipped", std::vector<std::string>());
  if (line.contains("finding") && line["finding"].is_object()) result.finding = line["finding"];
  return result;
}

/// The result of the program during which the child ended.
Replayed ended_early(const ReplayUnit::Entry& entry, bool hung, const props::Child& child,
                     const props::Position& position, const ReplayOptions& options) {
  Replayed result;
  result.path = entry.path;
  if (hung && position.judging.load(std::memory_order_relaxed) != 0) {
    result.reason = "time ran out while the model judged";
    return result;
  }
  const auto finding = props::death(hung ? props::FindingKind::hang : props::FindingKind::crash,
                                    position, options.engines.names, entry.program,
                                    hung ? "the deadline passed" : child.how(), child.last_words());
  result.verdict = Verdict::fail;
  result.reason = finding.title;
  result.finding = finding_object(finding, entry.path);
  fmt::print(options.page, "{}\n", props::side_by_side(finding));
  return result;
}

}  // namespace

tl::expected<ReplayUnit, std::string> read_unit(const std::string& path) {
  ReplayUnit unit{.path = path, .programs = {}};
  std::vector<std::string> files;
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    for (const auto& file : std::filesystem::directory_iterator(path, error)) {
      if (file.path().extension() == ".lockstep") files.push_back(file.path().string());
    }
    std::ranges::sort(files);
    if (files.empty()) return tl::unexpected(path + ": a folder without programs (*.lockstep)");
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
  std::vector<Replayed> results;
  std::string reason = "not run";
  props::SharedObject<props::Position> position;
  // What is buffered now must not be printed twice.
  std::fflush(options.page);
  auto child = position ? props::Child::start([&](props::Channel& channel) {
    {
      Runner runner(options, *position.get(), channel);
      runner.run(unit);
    }
    std::fflush(options.page);
    channel.send(farewell);
  })
                        : tl::unexpected(std::string("no shared memory"));
  if (!child) {
    reason = child.error();
  } else {
    using Status = props::Channel::Status;
    const auto deadline = std::chrono::steady_clock::now() + options.deadline +
                          props::boot_allowance(options.engines.names);
    Status status = Status::message;
    std::string message;
    while ((status = child->channel().receive(message, deadline)) == Status::message &&
           message != farewell) {
      if (results.size() == unit.programs.size()) continue;
      auto result = parse_result(unit.programs[results.size()].path, message);
      if (result) results.push_back(std::move(*result));
    }
    child->end();
    if (status != Status::message) {
      // After the last result: its engines died as they were taken down.
      if (results.size() == unit.programs.size()) results.pop_back();
      const auto& entry = unit.programs[results.size()];
      auto result = ended_early(entry, status == Status::timeout, *child, *position.get(), options);
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
