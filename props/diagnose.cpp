// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/diagnose.h"

#include <fmt/format.h>
#include <algorithm>

#include "props/command_kind.h"

namespace lockstep::props {
namespace {

/// The judge of the odd engine as it was before the step.
std::unique_ptr<Model> model_before(const Participant& participant, const Lowered& lowered,
                                    std::size_t step, const ModelFactory& models) {
  auto model = models(lowered.configuration, participant.engine->platform());
  for (std::size_t i = 0; i < step; ++i) {
    if (model->judge(lowered.steps[i].command, participant.shown[i]).kind !=
        spec::Judgement::Kind::admitted) {
      return nullptr;
    }
  }
  return model;
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
  if (const auto* unexpected = std::get_if<Unexpected>(&shown)) finding.detail = unexpected->what;
  if (kind == FindingKind::teardown) {
    finding.command_kind = "end";
    finding.title = "something is left over at the end";
    return finding;
  }
  const auto& command = lowered.steps[step].command;
  finding.step = lowered.origin[step];
  finding.command_kind = std::string(command_kind(command));
  finding.command = print(command, lowered.configuration.paging);
  std::vector<Observation> admitted;
  if (const auto model = model_before(participant, lowered, step, models)) {
    admitted = model->admitted(command);
    finding.walk = model->explain(command);
  }
  for (const auto& observation : admitted) finding.admitted.push_back(print(observation));
  if (admitted.size() == 1 && lists_all(command)) finding.unique = admitted.front();
  finding.title =
      title_of(kind, finding.command_kind, shown, admitted, lowered.steps[step].expected);
  if (kind == FindingKind::refused && all_real_engines_agree(participants, step)) {
    finding.spec_suspect = true;
    finding.title = "spec suspect: " + finding.title;
  }
  return finding;
}

}  // namespace lockstep::props
