// SPDX-License-Identifier: GPL-2.0-or-later
// Parallel blocks: who may run beside whom, and what.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "spec/program_rules.h"

namespace lockstep {

std::size_t end_of_block(std::span<const Step> steps, std::size_t first) {
  std::size_t end = first;
  if (!steps[first].thread) return end;
  for (++end; end < steps.size(); ++end) {
    if (!steps[end].thread || *steps[end].thread < *steps[end - 1].thread) break;
  }
  return end;
}

namespace spec {
namespace {

/// More commands have more orders than anybody judges.
constexpr std::size_t most_parallel = 16;

/// Why the command may not run beside others; none if it may.
Reason check_beside(const Command& command) {
  if (const auto* change = std::get_if<HostChange>(&command)) {
    const bool unseen = change->action == HostAction::migrate ||
                        change->action == HostAction::age || change->action == HostAction::split ||
                        change->action == HostAction::collapse;
    if (!unseen) return "this change of the host is none of a parallel block";
  }
  if (const auto* poke = std::get_if<Poke>(&command); poke != nullptr && poke->host_poke) {
    return "`host-poke` is none of a parallel block";
  }
  if (const auto* entry = std::get_if<EntrySet>(&command); entry != nullptr && !entry->vcpu) {
    return "`entry` in a parallel block is a vCPU's";
  }
  if (std::holds_alternative<Map>(command) || std::holds_alternative<AliasTable>(command) ||
      std::holds_alternative<Translate>(command) || std::holds_alternative<SetPkru>(command) ||
      std::holds_alternative<RingCollect>(command)) {
    return "this command is none of a parallel block";
  }
  return std::nullopt;
}

/// One block, given the vCPUs that ran before it.
std::optional<Illegal> check_block(std::span<const Step> steps, std::size_t first, std::size_t end,
                                   const std::set<unsigned>& ran) {
  // By thread: its vCPU, or none for user space.
  std::map<unsigned, std::optional<unsigned>> owners;
  unsigned thread = 0;
  for (std::size_t i = first; i < end; ++i) {
    const unsigned now = *steps[i].thread;
    if (now > (i == first ? 0 : thread + 1)) return Illegal{i, "a thread has no command"};
    thread = now;
    if (auto reason = check_beside(steps[i].command)) return Illegal{i, *reason};
    const auto vcpu = vcpu_of(steps[i].command);
    const auto owner = owners.emplace(now, vcpu).first;
    if (owner->second != vcpu) {
      return Illegal{i, "a thread is one vCPU's, or user space's"};
    }
    if (vcpu && !ran.contains(*vcpu)) {
      return Illegal{i, fmt::format("vCPU {} runs before its first parallel block", *vcpu)};
    }
  }
  if (owners.size() < 2) return Illegal{first, "a parallel block has two threads or more"};
  if (end - first > most_parallel) {
    return Illegal{first + most_parallel,
                   fmt::format("a parallel block has at most {} commands", most_parallel)};
  }
  for (auto one = owners.begin(); one != owners.end(); ++one) {
    for (auto other = std::next(one); other != owners.end(); ++other) {
      if (one->second == other->second) {
        return Illegal{first, "two threads of a block are the same vCPU's, or user space's"};
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Illegal> check_parallel(const Program& program) {
  std::set<unsigned> ran;
  const std::span<const Step> steps = program.steps;
  for (std::size_t i = 0; i < steps.size();) {
    const std::size_t end = end_of_block(steps, i);
    for (std::size_t other = end == i ? i : i + 1; other < std::max(end, i + 1); ++other) {
      if (steps[other].schedule != 0) return Illegal{other, "no block begins here"};
    }
    if (end == i) {
      if (const auto vcpu = vcpu_of(steps[i].command)) ran.insert(*vcpu);
      ++i;
      continue;
    }
    if (auto illegal = check_block(steps, i, end, ran)) return illegal;
    i = end;
  }
  return std::nullopt;
}

}  // namespace spec
}  // namespace lockstep
