// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/diagnose.h"

#include <fmt/format.h>
#include <algorithm>

#include "props/command_kind.h"
#include "props/lockstep.h"
#include "spec/engine_insides.h"

namespace lockstep::props {
namespace {

/// The judge of the odd engine as it was before the step.
std::unique_ptr<Model> model_before(const Participant& participant, const Lowered& lowered,
                                    std::size_t step, const ModelFactory& models) {
  auto model = models(lowered.configuration, participant.engine->platform());
  for (std::size_t i = 0; i < step;) {
    const std::size_t end = end_of_block(lowered.steps, i);
    // Inside a block there is no before.
    if (end > step) break;
    const auto judgement = end == i ? model->judge(lowered.steps[i].command, participant.shown[i])
                                    : model->judge_block(parallel_commands(lowered, i, end),
                                                         participant.answers(i, end));
    if (judgement.kind != spec::Judgement::Kind::admitted) return nullptr;
    i = std::max(end, i + 1);
  }
  return model;
}

/// Where the block of the step begins.
std::size_t begin_of_block(const Lowered& lowered, std::size_t step) {
  std::size_t first = step;
  while (first > 0 && end_of_block(lowered.steps, first - 1) > step) --first;
  return first;
}

/// "write and dirty-get beside slot": the kinds of commands of each thread.
std::string kinds_of_threads(const Lowered& lowered, std::size_t first, std::size_t end) {
  std::string text;
  for (std::size_t i = first; i < end; ++i) {
    if (i != first) {
      text += *lowered.steps[i].thread == *lowered.steps[i - 1].thread ? ", " : " beside ";
    }
    text += command_kind(lowered.steps[i].command);
  }
  return text;
}

/// Both columns of a block with what the engine showed, and when.
std::string columns(const Participant& participant, const Lowered& lowered, std::size_t first,
                    std::size_t end) {
  std::string text;
  for (std::size_t i = first; i < end; ++i) {
    const unsigned thread = *lowered.steps[i].thread;
    if (i == first || thread != *lowered.steps[i - 1].thread) {
      text += fmt::format("  thread {}:\n", thread);
    }
    text += fmt::format("    {} -> {}  (from {} to {})\n",
                        print(lowered.steps[i].command, lowered.configuration.paging),
                        print(participant.shown[i]), participant.when[i].began,
                        participant.when[i].ended);
  }
  return text;
}

bool all_real_engines_agree(std::span<const Participant> participants, std::size_t step) {
  const Observation* common = nullptr;
  std::size_t real = 0;
  for (const auto& participant : participants) {
    if (!participant.runs || participant.drawing != nullptr) continue;
    if (participant.shown.size() <= step ||
        participant.judgement.kind != spec::Judgement::Kind::refused) {
      return false;
    }
    if (common != nullptr && *common != participant.shown[step]) return false;
    common = &participant.shown[step];
    ++real;
  }
  return real >= 2;
}

/// "a value or #PF present user": each shape once.
std::string shapes(const std::vector<Observation>& observations) {
  std::vector<std::string> seen;
  for (const auto& observation : observations) {
    auto text = shape(observation);
    if (std::find(seen.begin(), seen.end(), text) == seen.end()) seen.push_back(std::move(text));
  }
  if (seen.empty()) return "nothing";
  std::sort(seen.begin() + 1, seen.end());
  auto text = seen.front();
  for (std::size_t i = 1; i < seen.size() && i < 3; ++i) text += " or " + seen[i];
  if (seen.size() > 3) text += " or more";
  return text;
}

std::vector<Side> sides_at(std::span<const Participant> participants, std::size_t odd,
                           std::size_t step) {
  std::vector<Side> sides;
  for (std::size_t i = 0; i < participants.size(); ++i) {
    const auto& participant = participants[i];
    Side side;
    side.engine = std::string(participant.engine->name());
    side.odd = i == odd;
    if (participant.runs && participant.shown.size() > step) {
      side.answer = print(participant.shown[step]);
      if (participant.judgement.kind == spec::Judgement::Kind::refused) {
        side.why = participant.judgement.why;
      }
    } else {
      side.answer = "(did not run)";
    }
    sides.push_back(std::move(side));
  }
  return sides;
}

/// Nothing of a block is odd alone.
Finding diagnose_block(Finding finding, std::size_t odd, std::span<const Participant> participants,
                       const Lowered& lowered, std::size_t first, std::size_t end) {
  finding.step = lowered.origin[end - 1];
  finding.command_kind = "par";
  finding.command = "a parallel block: " + kinds_of_threads(lowered, first, end);
  finding.title = fmt::format("par: no order explains {}", kinds_of_threads(lowered, first, end));
  for (std::size_t i = 0; i < participants.size(); ++i) {
    const auto& participant = participants[i];
    if (!participant.runs || participant.shown.size() < end) continue;
    std::string& answer = finding.sides[i].answer;
    answer.clear();
    for (std::size_t at = first; at < end; ++at) {
      if (at != first) {
        answer += *lowered.steps[at].thread == *lowered.steps[at - 1].thread ? ", " : " | ";
      }
      answer += print(participant.shown[at]);
    }
  }
  finding.walk = columns(participants[odd], lowered, first, end);
  return finding;
}

std::string title_of(FindingKind kind, std::string_view command, const Observation& shown,
                     const std::vector<Observation>& admitted,
                     const std::optional<Observation>& expected) {
  const auto answer = shape(shown);
  switch (kind) {
    case FindingKind::refused: {
      const auto others = shapes(admitted);
      if (others == answer)
        return fmt::format("{}: another {}", command,
                           answer.substr(answer.starts_with("a ")    ? 2
                                         : answer.starts_with("an ") ? 3
                                                                     : 0));
      return fmt::format("{}: {}, the model admits {}", command, answer, others);
    }
    case FindingKind::expectation:
      return fmt::format("{}: {}, the program expects {}", command, answer,
                         expected ? shape(*expected) : "nothing");
    case FindingKind::livelock:
      return fmt::format("{}: still faulting after {} faults", command, livelock_bound);
    default:
      return fmt::format("{}: {}", command, answer);
  }
}

/// Whether the model lists every answer that it admits. Of dirty pages and of bytes in
/// memory it lists the least; pages may be logged and flags set without need.
bool lists_all(const Command& command) {
  return !std::holds_alternative<DirtyGet>(command) &&
         !std::holds_alternative<RingCollect>(command) && !std::holds_alternative<Peek>(command);
}

}  // namespace

Finding diagnose(FindingKind kind, std::size_t odd, std::span<const Participant> participants,
                 const Lowered& lowered, std::size_t step, const ModelFactory& models) {
  const auto& participant = participants[odd];
  Finding finding;
  finding.kind = kind;
  finding.engine = std::string(participant.engine->name());
  finding.sides = sides_at(participants, odd, step);
  const auto& shown = participant.shown[step];
  const auto* const kernel = dynamic_cast<const HasKernelLog*>(participant.engine.get());
  const auto splat = kernel != nullptr ? kernel->complaint() : std::string();
  const auto* const unexpected = std::get_if<Unexpected>(&shown);
  if (unexpected != nullptr) finding.detail = splat.empty() ? unexpected->what : splat;
  if (kind == FindingKind::teardown) {
    finding.command_kind = "end";
    finding.title = splat.empty() || unexpected == nullptr
                        ? "something is left over at the end"
                        : fmt::format("end: {}", unexpected->what);
    return finding;
  }
  const auto& command = lowered.steps[step].command;
  const std::size_t first = begin_of_block(lowered, step);
  const std::size_t end = std::max(end_of_block(lowered.steps, first), step + 1);
  if (kind == FindingKind::refused && lowered.steps[step].thread) {
    return diagnose_block(std::move(finding), odd, participants, lowered, first, end);
  }
  finding.step = lowered.origin[end - 1];
  finding.command_kind = std::string(command_kind(command));
  finding.command = print(command, lowered.configuration.paging);
  std::vector<Observation> admitted;
  const auto model =
      lowered.steps[step].thread ? nullptr : model_before(participant, lowered, step, models);
  if (model) {
    admitted = model->admitted(command);
    finding.walk = model->explain(command);
  }
  for (const auto& observation : admitted) finding.admitted.push_back(print(observation));
  if (admitted.size() == 1 && lists_all(command)) finding.unique = admitted.front();
  finding.title =
      title_of(kind, finding.command_kind, shown, admitted, lowered.steps[step].expected);
  // The kernel's own words tell one splat from another.
  if (kind == FindingKind::unexpected && unexpected != nullptr && !splat.empty()) {
    finding.title = fmt::format("{}: {}", finding.command_kind, unexpected->what);
  }
  if (kind == FindingKind::refused && all_real_engines_agree(participants, step)) {
    finding.spec_suspect = true;
    finding.title = "spec suspect: " + finding.title;
  }
  return finding;
}

}  // namespace lockstep::props
