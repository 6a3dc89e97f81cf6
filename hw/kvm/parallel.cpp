// SPDX-License-Identifier: GPL-2.0-or-later
// Parallel blocks: a thread of the host for each thread of the block.
#include <algorithm>
#include <atomic>
#include <optional>
#include <shared_mutex>
#include <thread>

#include "hw/kvm/kvm_engine.h"

namespace lockstep::hw {
namespace {

/// What the threads of one block share.
struct Meeting {
  std::atomic<unsigned> absent;
  std::atomic<std::uint64_t> clock{0};
  std::shared_mutex host_change{};
};

/// ProgramMemory copies pages to give them other frames, and protects them for a moment
/// to split them: unlike when the kernel does it, what is stored meanwhile would be lost.
bool must_be_alone(const Command& command) {
  const auto* change = std::get_if<HostChange>(&command);
  return change != nullptr && change->action != HostAction::age;
}

/// Wait until everybody is there.
void meet(Meeting& meeting) {
  meeting.absent.fetch_sub(1);
  while (meeting.absent.load() != 0) {
    // Spin: who sleeps wakes up too late to meet anybody.
  }
}

}  // namespace

void KvmEngine::linger(std::uint64_t schedule, unsigned thread) {
  if (schedule == 0) return;
  // Up to some tens of microseconds, about as long as a command takes.
  std::uint64_t mixed = (schedule + thread) * 0x9e37'79b9'7f4a'7c15ull;
  mixed ^= mixed >> 29;
  for (std::uint64_t left = mixed % 8192; left != 0; --left) __builtin_ia32_pause();
}

Result<std::vector<ParallelAnswer>> KvmEngine::execute_parallel(
    std::span<const ParallelCommand> commands) {
  if (vm_ == nullptr) return tl::unexpected(EngineError{"execute_parallel() without begin()"});
  unsigned threads = 0;
  for (const ParallelCommand& command : commands) {
    threads = std::max(threads, command.thread + 1);
    const auto vcpu = vcpu_of(command.command);
    if (vcpu && *vcpu >= configuration_.vcpus) {
      return tl::unexpected(EngineError{"no such vCPU"});
    }
    // What a vCPU needs is there before anybody runs.
    if (!vcpu) continue;
    auto found = ready(*vcpu);
    if (!found) return tl::unexpected(found.error());
    if (const auto* access = std::get_if<Access>(&command.command)) warm(**found, access->vcpu);
  }
  std::vector<ParallelAnswer> answers(commands.size());
  std::vector<std::optional<EngineError>> errors(threads);
  Meeting meeting{threads};
  const std::uint64_t schedule = commands.empty() ? 0 : commands.front().schedule;
  const auto run = [&](unsigned thread) {
    auto watchdog = Watchdog::create();
    if (watchdog) watchdog->arm();
    meet(meeting);
    if (!watchdog) {
      errors[thread] = watchdog.error();
      return;
    }
    linger(schedule, thread);
    for (std::size_t i = 0; i < commands.size(); ++i) {
      if (commands[i].thread != thread) continue;
      ++reached_["commands"];
      answers[i].began = meeting.clock.fetch_add(1);
      std::unique_lock alone(meeting.host_change, std::defer_lock);
      std::shared_lock beside(meeting.host_change, std::defer_lock);
      if (must_be_alone(commands[i].command)) {
        alone.lock();
      } else {
        beside.lock();
      }
      auto seen = std::visit([this](const auto& what) { return on(what); }, commands[i].command);
      answers[i].ended = meeting.clock.fetch_add(1);
      if (!seen) {
        errors[thread] = seen.error();
        return;
      }
      answers[i].observation = std::move(*seen);
    }
  };
  parallel_ = true;
  {
    std::vector<std::jthread> running;
    for (unsigned thread = 0; thread < threads; ++thread) running.emplace_back(run, thread);
  }
  parallel_ = false;
  roots_planted_ = false;
  chill();
  for (auto& error : errors) {
    if (error) return tl::unexpected(*error);
  }
  ++reached_["parallel block"];
  return answers;
}

}  // namespace lockstep::hw
