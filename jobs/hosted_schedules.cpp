// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/hosted_schedules.h"

#include <fmt/format.h>

#include <algorithm>

#include "hw/hosted/known_races.h"
#include "hw/hosted/open.h"
#include "spec/observation.h"
#include "spec/program.h"

namespace lockstep::jobs {

namespace schedule = props::schedule;
using schedule::FailureKind;

namespace {

std::string filled_in(std::string_view line, unsigned vcpu, unsigned number) {
  std::string text;
  for (std::size_t at = 0; at < line.size(); ++at) {
    const auto rest = line.substr(at);
    if (rest.starts_with("{v}") || rest.starts_with("{n}")) {
      text += fmt::format("{:x}", rest[1] == 'v' ? vcpu : number);
      at += 2;
    } else {
      text += line[at];
    }
  }
  return text;
}

FailureKind kind_of(std::string_view text) {
  if (text.starts_with("leak")) return FailureKind::leak;
  if (text.find("freed") != text.npos || text.find("no live table") != text.npos ||
      text.starts_with("memory: ")) {
    return FailureKind::use_after_free;
  }
  if (text.starts_with("bad access: ")) return FailureKind::null_dereference;
  if (text.starts_with("stuck: ")) return FailureKind::deadlock;
  return FailureKind::warning;
}

/// What a command of a scenario cannot answer: no guest there fetches from MMIO or uses an
/// address that is not canonical, all of its code is the harness', whose slot stays.
bool cannot_be(const Observation& seen) {
  return std::holds_alternative<Exception>(seen) || std::holds_alternative<InternalError>(seen);
}

}  // namespace

std::optional<std::string> scheduled_name(std::string_view engine) {
  auto name = hw::parse_hosted_name(engine);
  if (!name) return std::nullopt;
  if (name->flavour != "tsan") name->flavour = "asan+schedule";
  return fmt::format("hosted-{}:{}", name->flavour, name->kernel);
}

/// The virtual machine of one scenario at a time.
class HostedSystems::Vm {
 public:
  explicit Vm(std::unique_ptr<hw::hosted::HostedEngine> engine) : engine_(std::move(engine)) {}

  hw::hosted::HostedEngine& engine() { return *engine_; }

  /// The scenario's machine stands, as after its program. What failed otherwise.
  const std::string& prepare(const HostedScenario& scenario) {
    if (scenario_ != &scenario) {
      scenario_ = &scenario;
      wrong_ = make(scenario);
    }
    return wrong_;
  }

  /// What the command of a thread is. Null: the end of a grace period.
  const std::vector<Command>* commands(unsigned thread, schedule::Command command) const {
    const auto& found = commands_[command.verb][command.number][thread % vcpus_];
    return found.empty() ? nullptr : &found;
  }

 private:
  std::string make(const HostedScenario& scenario) {
    if (auto thawed = engine_->thaw(); !thawed) return thawed.error().message;
    if (running_) {
      running_ = false;
      if (auto ended = engine_->end(); !ended) return ended.error().message;
    }
    const auto first = lowered(fmt::format("lockstep 1\n{}", scenario.program));
    if (!first) return first.error();
    vcpus_ = first->configuration.vcpus;
    if (auto begun = engine_->begin(first->configuration, /*fresh=*/true); !begun) {
      return begun.error().message;
    }
    running_ = true;
    for (const auto& step : first->steps) {
      const auto seen = engine_->execute(step.command);
      if (!seen) return seen.error().message;
      if (std::holds_alternative<Unexpected>(*seen) || std::holds_alternative<Errno>(*seen)) {
        return fmt::format("{}: {}", print(step.command, first->configuration.paging),
                           print(*seen));
      }
    }
    commands_.clear();
    for (const auto& command : scenario.commands) {
      auto& of_verb = commands_.emplace_back();
      for (unsigned number = 0; number < std::max(1u, command.verb.end); ++number) {
        auto& of_number = of_verb.emplace_back();
        for (unsigned vcpu = 0; vcpu < vcpus_; ++vcpu) {
          auto& of_vcpu = of_number.emplace_back();
          if (command.line == "grace") continue;
          const auto all = lowered(fmt::format("lockstep 1\n{}{}\n", scenario.program,
                                               filled_in(command.line, vcpu, number)));
          if (!all) return all.error();
          for (std::size_t i = first->steps.size(); i < all->steps.size(); ++i) {
            of_vcpu.push_back(all->steps[i].command);
          }
        }
      }
    }
    auto frozen = engine_->freeze();
    return frozen ? std::string() : frozen.error().message;
  }

  static tl::expected<Lowered, std::string> lowered(const std::string& text) {
    const auto program = parse(text);
    if (!program) return tl::unexpected(program.error().message("scenario", text));
    return lower(*program);
  }

  std::unique_ptr<hw::hosted::HostedEngine> engine_;
  const HostedScenario* scenario_ = nullptr;
  bool running_ = false;
  std::string wrong_;
  unsigned vcpus_ = 1;
  /// By verb, number and vCPU.
  std::vector<std::vector<std::vector<std::vector<Command>>>> commands_;
};

/// One run.
class HostedSystems::VmBody final : public schedule::SystemBody {
 public:
  VmBody(const schedule::System& system, Vm& vm, const HostedScenario& scenario,
         schedule::Runner& runner, unsigned defect, const schedule::Threads& threads)
      : SystemBody(system, runner, defect, threads), vm_(&vm) {
    wrong_ = vm.prepare(scenario);
    if (!wrong_.empty()) return;
    if (auto begun = vm.engine().rerun(runner); !begun) wrong_ = begun.error().message;
    live_ = wrong_.empty();
  }
  ~VmBody() override {
    if (live_) vm_->engine().halt();
  }

  void tear_down() override {
    hw::hosted::HostedEngine& engine = vm_->engine();
    engine.be_cpu(0);
    // Within the run a processor may still use what a flush is about to take.
    tell(engine.judge_block());
    tell(engine.close_all());
  }

 protected:
  void command(schedule::Command command) override {
    if (!wrong_.empty()) runner().report(FailureKind::exception, wrong_);
    hw::hosted::HostedEngine& engine = vm_->engine();
    engine.be_cpu(runner().self() + 1);
    const auto* const commands = vm_->commands(runner().self(), command);
    if (commands == nullptr) {
      engine.grace();
      return tell(engine.findings());
    }
    for (const Command& one : *commands) {
      const auto seen = engine.execute(one);
      if (runner().over()) return;
      if (!seen) runner().report(FailureKind::exception, seen.error().message);
      if (const auto* bad = std::get_if<Unexpected>(&*seen); bad != nullptr) {
        tell(bad->what);
      } else if (cannot_be(*seen)) {
        runner().report(FailureKind::exception, "the guest is told of " + print(*seen));
      } else if (std::holds_alternative<Livelock>(*seen)) {
        runner().report(FailureKind::livelock, "an access faults for ever");
      } else if (runner().tracing()) {
        runner().note("  " + print(*seen));
      }
    }
  }

 private:
  void tell(const std::string& text) {
    if (!text.empty() && !runner().over()) runner().report(kind_of(text), text);
  }

  Vm* vm_;
  std::string wrong_;
  bool live_ = false;
};

HostedSystems::HostedSystems() = default;
HostedSystems::~HostedSystems() = default;

tl::expected<std::unique_ptr<HostedSystems>, std::string> HostedSystems::open(
    const std::filesystem::path& image, std::string engine) {
  auto opened = hw::hosted::HostedEngine::open_scheduled(image, engine);
  if (!opened) return tl::unexpected(opened.error().message);
  std::unique_ptr<HostedSystems> made(new HostedSystems);
  made->name_ = std::move(engine);
  made->vm_ = std::make_unique<Vm>(std::move(*opened));
  const auto scenarios = hosted_scenarios();
  made->verbs_.resize(scenarios.size());
  made->systems_.resize(scenarios.size());
  for (std::size_t i = 0; i < scenarios.size(); ++i) {
    const HostedScenario& scenario = scenarios[i];
    for (const auto& command : scenario.commands) made->verbs_[i].push_back(command.verb);
    schedule::System& system = made->systems_[i];
    system.name = scenario.name;
    system.title = scenario.title;
    system.runs = "the kernel's own KVM, each thread a CPU";
    system.property = scenario.property;
    system.verbs = made->verbs_[i];
    system.engine = made->name_;
    system.make = [vm = made->vm_.get(), &scenario, &system](
                      schedule::Runner& runner, unsigned defect, const schedule::Threads& threads) {
      runner.races(schedule::Runner::Races::both_plain);
      runner.known_races([](std::string_view one, std::string_view other) {
        return hw::hosted::known_race(one, other) != nullptr;
      });
      runner.limit(schedule::most_steps);
      runner.name_code([vm](std::uint64_t code) { return vm->engine().symbol_of(code); });
      return std::make_unique<VmBody>(system, *vm, scenario, runner, defect, threads);
    };
  }
  return made;
}

OpenSystems open_hosted(const std::filesystem::path& image, std::string engine) {
  return [image, engine = std::move(engine)]() -> tl::expected<OpenedSystems, std::string> {
    auto opened = HostedSystems::open(image, engine);
    if (!opened) return tl::unexpected(opened.error());
    const std::shared_ptr<HostedSystems> systems = *std::move(opened);
    return OpenedSystems{.owner = systems, .systems = systems->systems()};
  };
}

}  // namespace lockstep::jobs
