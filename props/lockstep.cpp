// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/lockstep.h"

#include <fmt/format.h>

#include <cstdlib>

#include <algorithm>
#include <utility>

#include "props/diagnose.h"
#include "props/participant.h"
#include "spec/engine_insides.h"

namespace lockstep::props {

struct Lockstep::State {
  std::vector<Participant> participants;
  ModelFactory models;
  std::vector<Answer> answers;

  bool begin(const Program& program, const Lowered& lowered, const RunOptions& options,
             std::uint64_t mask, Outcome& outcome);
  /// The lowered steps [first, end): one, or a parallel block.
  struct Part {
    const Lowered& lowered;
    std::size_t first = 0;
    std::size_t end = 0;
    bool block() const { return lowered.steps[first].thread.has_value(); }
  };
  /// False once the run is over; `outcome` says why.
  bool take(const Part& part, const RunOptions& options, Outcome& outcome);
  bool execute(const Step& step, const RunOptions& options, Outcome& outcome);
  bool execute_block(const Part& part, const RunOptions& options, Outcome& outcome);
  bool judge(const Part& part, const RunOptions& options, Outcome& outcome);
  void end(const Lowered& lowered, const RunOptions& options, Outcome& outcome);
  void watch(const Lowered& lowered, std::size_t index, const RunOptions& options);
  void broken(std::size_t who, const EngineError& error, Outcome& outcome);
};

std::vector<ParallelCommand> parallel_commands(const Lowered& lowered, std::size_t first,
                                               std::size_t end) {
  std::vector<ParallelCommand> commands;
  for (std::size_t i = first; i < end; ++i) {
    commands.push_back({*lowered.steps[i].thread, lowered.steps[i].command});
  }
  if (!commands.empty()) commands.front().schedule = lowered.steps[first].schedule;
  return commands;
}

namespace {

void found(Outcome& outcome, Finding finding) {
  outcome.verdict = Verdict::fail;
  outcome.finding = std::move(finding);
}

void collect_looseness(Participant& participant) {
  const Model* model =
      participant.drawing != nullptr ? participant.drawing->model() : participant.model.get();
  if (model == nullptr) return;
  const auto& used = model->looseness_used();
  for (std::size_t i = 0; i < used.size(); ++i) participant.looseness[i] += used[i];
}

/// The engine says that what it runs is wrong, whatever the model knows.
bool complains(const Engine& engine) {
  const auto* const one = dynamic_cast<const Complains*>(&engine);
  return one != nullptr && !one->complaint().empty();
}
/// Whether it complains where nothing but a bound of the model's own is in the way.
bool may_complain(const Participant& participant) {
  return complains(*participant.engine) && participant.judgement.bound_passed;
}

void tell(const RunOptions& options, std::size_t engine, bool judging) {
  if (options.position == nullptr) return;
  options.position->engine.store(static_cast<std::uint32_t>(engine), std::memory_order_relaxed);
  options.position->judging.store(judging ? 1 : 0, std::memory_order_relaxed);
}

}  // namespace

Lockstep::Lockstep(std::vector<std::unique_ptr<Engine>> engines, ModelFactory models)
    : state_(std::make_unique<State>()) {
  state_->models = std::move(models);
  for (auto& engine : engines) {
    Participant participant;
    participant.drawing = dynamic_cast<SpecEngine*>(engine.get());
    participant.engine = std::move(engine);
    state_->participants.push_back(std::move(participant));
  }
}

Lockstep::~Lockstep() = default;
Lockstep::Lockstep(Lockstep&&) noexcept = default;
Lockstep& Lockstep::operator=(Lockstep&&) noexcept = default;

std::size_t Lockstep::size() const { return state_->participants.size(); }
Engine& Lockstep::engine(std::size_t index) { return *state_->participants[index].engine; }
std::string_view Lockstep::name(std::size_t index) const {
  return state_->participants[index].engine->name();
}

const std::array<std::uint64_t, spec::looseness_count>& Lockstep::looseness(
    std::size_t index) const {
  return state_->participants[index].looseness;
}

std::map<std::string, std::uint64_t> Lockstep::reached(std::size_t index) const {
  const auto& participant = state_->participants[index];
  auto paths = merged(participant.reach, participant.engine->reached());
  paths.merge(participant.drawn.by_name());
  return paths;
}

std::optional<std::string> lacks(const Platform& platform, const Program& program) {
  const auto missing = needs(program) & ~platform.features;
  for (unsigned i = 0; i < feature_count; ++i) {
    if (missing[i]) return fmt::format("lacks {}", lockstep::name(static_cast<Feature>(i)));
  }
  // KVM hides protection keys without TDP: kvm_set_cpu_caps() clears PKU.
  const bool shadow = program.configuration.mmu == MmuKind::shadow ||
                      (program.configuration.mmu == MmuKind::any &&
                       platform.features.test(static_cast<std::size_t>(Feature::mmu_shadow)));
  if (shadow && needs(program).test(static_cast<std::size_t>(Feature::pke))) {
    return "has protection keys with mmu=tdp only";
  }
  if (program.configuration.vcpus > platform.max_vcpus) {
    return fmt::format("has at most {} vCPUs", platform.max_vcpus);
  }
  if (program.configuration.maxphyaddr > platform.max_maxphyaddr) {
    return fmt::format("has MAXPHYADDR at most {}", platform.max_maxphyaddr);
  }
  return std::nullopt;
}

std::optional<std::string> danger(const Program& program) {
  constexpr const char* allowed = "LOCKSTEP_CORPUS_DANGER";
  if (std::getenv(allowed) != nullptr) return std::nullopt;
  const auto warns = [](const std::vector<std::string>& comments) {
    return std::any_of(comments.begin(), comments.end(),
                       [](const std::string& line) { return line.starts_with("# Danger:"); });
  };
  const bool marked =
      warns(program.header) || std::any_of(program.steps.begin(), program.steps.end(),
                                           [&](const Step& step) { return warns(step.before); });
  if (!marked) return std::nullopt;
  return fmt::format("may damage a host whose kernel lacks the fix; set {}=1", allowed);
}

void Lockstep::State::broken(std::size_t who, const EngineError& error, Outcome& outcome) {
  auto& participant = participants[who];
  outcome.verdict = Verdict::no_verdict;
  outcome.broken = std::string(participant.engine->name());
  outcome.reason = fmt::format("{}: {}", outcome.broken, error.message);
  participant.open = false;
}

bool Lockstep::State::begin(const Program& program, const Lowered& lowered,
                            const RunOptions& options, std::uint64_t mask, Outcome& outcome) {
  for (std::size_t i = 0; i < participants.size(); ++i) {
    auto& participant = participants[i];
    participant.runs = false;
    participant.shown.clear();
    participant.when.clear();
    participant.judgement = {};
    if (((mask >> i) & 1u) == 0) continue;
    if (auto reason = lacks(participant.engine->platform(), program)) {
      outcome.skips.push_back({std::string(participant.engine->name()), std::move(*reason)});
      continue;
    }
    if (auto reason = danger(program); reason && participant.engine->name() == "kvm") {
      outcome.skips.push_back({"kvm", std::move(*reason)});
      continue;
    }
    tell(options, i, false);
    if (auto begun = participant.engine->begin(lowered.configuration, options.fresh); !begun) {
      broken(i, begun.error(), outcome);
      return false;
    }
    participant.open = true;
    participant.runs = true;
    participant.drawn.count(lowered.configuration, participant.engine->platform());
    outcome.ran |= 1ull << i;
    if (participant.drawing == nullptr) {
      participant.model = models(lowered.configuration, participant.engine->platform());
    }
  }
  return true;
}

bool Lockstep::State::execute(const Step& step, const RunOptions& options, Outcome& outcome) {
  for (std::size_t i = 0; i < participants.size(); ++i) {
    auto& participant = participants[i];
    if (!participant.runs) continue;
    tell(options, i, participant.drawing != nullptr);
    if (participant.drawing != nullptr && step.expected) {
      participant.drawing->prefer(*step.expected);
    }
    auto observation = participant.engine->execute(step.command);
    if (!observation) {
      broken(i, observation.error(), outcome);
      return false;
    }
    participant.shown.push_back(std::move(*observation));
    participant.when.emplace_back();
    if (participant.drawing != nullptr) participant.judgement = participant.drawing->judgement();
  }
  return true;
}

bool Lockstep::State::execute_block(const Part& part, const RunOptions& options, Outcome& outcome) {
  using Kind = spec::Judgement::Kind;
  const auto commands = parallel_commands(part.lowered, part.first, part.end);
  for (std::size_t i = 0; i < participants.size(); ++i) {
    auto& participant = participants[i];
    if (!participant.runs) continue;
    tell(options, i, participant.drawing != nullptr);
    if (participant.drawing == nullptr) {
      auto answers = participant.engine->execute_parallel(commands);
      if (!answers) {
        broken(i, answers.error(), outcome);
        return false;
      }
      for (auto& answer : *answers) {
        participant.shown.push_back(std::move(answer.observation));
        participant.when.push_back({answer.began, answer.ended});
      }
      continue;
    }
    // The order of the text is one of those that are admitted.
    participant.judgement = {};
    for (std::size_t at = part.first; at < part.end; ++at) {
      const Step& step = part.lowered.steps[at];
      if (step.expected) participant.drawing->prefer(*step.expected);
      auto observation = participant.engine->execute(step.command);
      if (!observation) {
        broken(i, observation.error(), outcome);
        return false;
      }
      participant.shown.push_back(std::move(*observation));
      participant.when.push_back({2 * at, 2 * at + 1});
      if (participant.judgement.kind == Kind::admitted) {
        participant.judgement = participant.drawing->judgement();
      }
    }
  }
  return true;
}

void Lockstep::State::watch(const Lowered& lowered, std::size_t index, const RunOptions& options) {
  answers.clear();
  for (const auto& participant : participants) {
    Answer answer;
    answer.engine = participant.engine->name();
    if (participant.runs && participant.shown.size() > index) {
      answer.observation = &participant.shown[index];
      answer.judgement = &participant.judgement;
    }
    answers.push_back(answer);
  }
  options.watch({lowered.origin[index], &lowered.steps[index].command, answers});
}

bool Lockstep::State::judge(const Part& part, const RunOptions& options, Outcome& outcome) {
  using Kind = spec::Judgement::Kind;
  const auto& lowered = part.lowered;
  constexpr std::size_t nobody = ~std::size_t{0};
  std::size_t refused = nobody, undecided = nobody, other = nobody;
  std::size_t other_step = part.first;
  auto what = FindingKind::expectation;
  for (std::size_t i = 0; i < participants.size(); ++i) {
    auto& participant = participants[i];
    if (!participant.runs) continue;
    tell(options, i, true);
    std::size_t odd = part.first;
    for (std::size_t at = part.end; at-- > part.first;) {
      if (std::holds_alternative<Unexpected>(participant.shown[at]) ||
          std::holds_alternative<Livelock>(participant.shown[at])) {
        odd = at;
      }
    }
    const bool lost = std::holds_alternative<Unexpected>(participant.shown[odd]);
    const bool stuck = std::holds_alternative<Livelock>(participant.shown[odd]);
    if (participant.drawing == nullptr && part.block()) {
      participant.judgement =
          participant.model->judge_block(parallel_commands(lowered, part.first, part.end),
                                         participant.answers(part.first, part.end));
    } else if (participant.drawing == nullptr) {
      participant.judgement = participant.model->judge(lowered.steps[part.first].command,
                                                       participant.shown[part.first]);
    }
    // Where the model says nothing, losing the vCPU is no finding either, unless the
    // engine itself complains and the model has merely passed a bound of its own, or a
    // booted kernel's log has it; faults without end are admitted where KVM is known for
    // them.
    const bool logged = dynamic_cast<const HasKernelLog*>(participant.engine.get()) != nullptr &&
                        complains(*participant.engine);
    if ((lost &&
         (logged || may_complain(participant) || participant.judgement.kind != Kind::undecided)) ||
        (stuck && participant.judgement.kind == Kind::refused)) {
      participant.judgement = {Kind::refused, ""};
      if (other == nobody || what == FindingKind::expectation) {
        other = i;
        other_step = odd;
        what = lost ? FindingKind::unexpected : FindingKind::livelock;
      }
      continue;
    }
    if (participant.judgement.kind == Kind::refused) {
      // The blame falls on a real engine if one is odd.
      if (refused == nobody || participants[refused].drawing != nullptr) refused = i;
    } else if (participant.judgement.kind == Kind::undecided) {
      if (undecided == nobody) undecided = i;
    } else {
      for (std::size_t at = part.first; at < part.end; ++at) {
        const Step& step = lowered.steps[at];
        participant.reach.count(step.command, participant.shown[at]);
        if (!step.expected || *step.expected == participant.shown[at] || other != nobody) continue;
        other = i;
        other_step = at;
      }
      if (part.block()) participant.reach.count_block();
    }
  }
  for (std::size_t at = part.first; options.watch && at < part.end; ++at) {
    watch(lowered, at, options);
  }
  const std::size_t last = part.end - 1;
  if (other != nobody && what != FindingKind::expectation) {
    found(outcome, diagnose(what, other, participants, lowered, other_step, models));
  } else if (refused != nobody) {
    found(outcome, diagnose(FindingKind::refused, refused, participants, lowered, last, models));
  } else if (other != nobody) {
    found(outcome, diagnose(what, other, participants, lowered, other_step, models));
  } else if (undecided != nobody) {
    outcome.verdict = Verdict::no_verdict;
    outcome.undecided = true;
    outcome.reason =
        fmt::format("step {}: {}", lowered.origin[last] + 1, participants[undecided].judgement.why);
  } else {
    return true;
  }
  return false;
}

bool Lockstep::State::take(const Part& part, const RunOptions& options, Outcome& outcome) {
  if (options.position != nullptr) {
    options.position->step.store(part.lowered.origin[part.end - 1], std::memory_order_relaxed);
  }
  const bool executed = part.block() ? execute_block(part, options, outcome)
                                     : execute(part.lowered.steps[part.first], options, outcome);
  if (!executed) return false;
  outcome.commands += part.end - part.first;
  return judge(part, options, outcome);
}

void Lockstep::State::end(const Lowered& lowered, const RunOptions& options, Outcome& outcome) {
  for (std::size_t i = 0; i < participants.size(); ++i) {
    auto& participant = participants[i];
    if (participant.runs) collect_looseness(participant);
    participant.model.reset();
    if (!participant.open) continue;
    participant.open = false;
    tell(options, i, false);
    auto observation = participant.engine->end();
    if (!observation) {
      if (outcome.verdict == Verdict::pass) broken(i, observation.error(), outcome);
      if (outcome.broken.empty()) outcome.broken = std::string(participant.engine->name());
      continue;
    }
    if (std::holds_alternative<Done>(*observation)) continue;
    // What is left over after another failure is that failure's consequence. Where the
    // model knew no more, nothing has failed.
    const bool first =
        outcome.verdict == Verdict::pass || (outcome.undecided && may_complain(participant));
    if (!first) continue;
    outcome.undecided = false;
    outcome.reason.clear();
    participant.shown.resize(lowered.steps.size());
    participant.shown.push_back(std::move(*observation));
    found(outcome,
          diagnose(FindingKind::teardown, i, participants, lowered, lowered.steps.size(), models));
  }
}

Outcome Lockstep::run(const Program& program, const RunOptions& options, std::uint64_t mask) {
  Outcome outcome;
  if (const auto illegal = validate(program)) {
    outcome.verdict = Verdict::input_error;
    outcome.reason = fmt::format("step {}: {}", illegal->step + 1, illegal->reason);
    return outcome;
  }
  const auto lowered = lower(program);
  if (!lowered) {
    outcome.verdict = Verdict::input_error;
    outcome.reason = lowered.error();
    return outcome;
  }
  if (state_->begin(program, *lowered, options, mask, outcome)) {
    for (std::size_t i = 0; i < lowered->steps.size();) {
      const State::Part part{*lowered, i, std::max(i + 1, end_of_block(lowered->steps, i))};
      if (!state_->take(part, options, outcome)) break;
      i = part.end;
    }
  }
  state_->end(*lowered, options, outcome);
  if (outcome.verdict == Verdict::pass && (!outcome.skips.empty() || outcome.ran == 0)) {
    outcome.verdict = Verdict::no_verdict;
    outcome.reason = outcome.skips.empty() ? "no engine ran it"
                                           : fmt::format("skipped: {} {}", outcome.skips[0].engine,
                                                         outcome.skips[0].reason);
  }
  return outcome;
}

}  // namespace lockstep::props
