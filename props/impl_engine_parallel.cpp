// SPDX-License-Identifier: GPL-2.0-or-later
/// The `impl` engine: parallel blocks, its whole MMU under a controlled schedule. A
/// fiber is one CPU; the steps are those that impl announces (locks, slots, dirty bits,
/// SPTEs of the TDP MMU, allocation), and each attempt of a guest access. What a CPU
/// does in the guest, from its entry to the use of a translation, is one step: KVM waits
/// for CPUs there when it flushes.
#include <fmt/format.h>

#include <algorithm>

#include "props/impl_engine_class.h"
#include "props/schedule/random.h"

namespace lockstep::props::impl_engine {
namespace {

namespace steered = lockstep::props::schedule;

/// Goes on with one thread for a while, then with any: how long depends on the seed.
class Wander final : public steered::Scheduler {
 public:
  explicit Wander(std::uint64_t seed) : random_(seed), stay_(1u << (2 * random_.below(3))) {}
  bool begin() override { return true; }
  unsigned choose(const steered::Choice& choice) override {
    if (choice.can(choice.current) && random_.below(stay_) != 0) return choice.current;
    unsigned left = random_.below(static_cast<unsigned>(std::popcount(choice.enabled)));
    for (unsigned thread = 0;; ++thread) {
      if (choice.can(thread) && left-- == 0) return thread;
    }
  }

 private:
  steered::Random random_;
  unsigned stay_;  ///< a change every so many steps
};

/// The commands of a block, each thread's on its fiber.
class BlockBody final : public steered::Body {
 public:
  using Execute = std::function<Result<Observation>(const Command&)>;
  struct Shared {
    std::span<const ParallelCommand> commands;
    std::vector<ParallelAnswer> answers;
    std::vector<bool> done;
    std::optional<EngineError> error;
    std::uint64_t clock = 0;
  };
  BlockBody(Shared& shared, unsigned threads, Execute execute)
      : shared_(shared), threads_(threads), execute_(std::move(execute)) {}

  unsigned threads() const override { return threads_; }
  void thread(unsigned id) override {
    for (std::size_t i = 0; i < shared_.commands.size(); ++i) {
      if (shared_.commands[i].thread != id) continue;
      shared_.answers[i].began = shared_.clock++;
      auto seen = execute_(shared_.commands[i].command);
      shared_.answers[i].ended = shared_.clock++;
      if (!seen) {
        shared_.error = seen.error();
        return;
      }
      shared_.answers[i].observation = std::move(*seen);
      shared_.done[i] = true;
    }
  }

 private:
  Shared& shared_;
  unsigned threads_;
  Execute execute_;
};

}  // namespace

Result<std::vector<ParallelAnswer>> ImplEngine::execute_parallel(
    std::span<const ParallelCommand> commands) {
  if (!machine_) return tl::unexpected(EngineError{"execute_parallel() without begin()"});
  unsigned threads = 0;
  for (const ParallelCommand& command : commands) threads = std::max(threads, command.thread + 1);
  if (threads > steered::most_threads) {
    return tl::unexpected(EngineError{fmt::format("at most {} threads", steered::most_threads)});
  }
  for (const ParallelCommand& command : commands) {
    // What a vCPU needs is there before anybody runs.
    if (const auto index = vcpu_of(command.command)) {
      if (auto found = vcpu(*index); !found) return tl::unexpected(found.error());
    }
  }
  if (!runner_) runner_ = std::make_unique<steered::Runner>();
  BlockBody::Shared shared{commands, std::vector<ParallelAnswer>(commands.size()),
                           std::vector<bool>(commands.size()), std::nullopt};
  Wander wander(commands.empty() ? 0 : commands.front().schedule);
  const auto& outcome = runner_->execute(wander, [&] {
    return std::make_unique<BlockBody>(shared, threads, [this](const Command& command) {
      hit(Path::commands);
      return std::visit([this](const auto& alternative) { return run(alternative); }, command);
    });
  });
  if (shared.error) return tl::unexpected(*shared.error);
  hit(Path::parallel_block);
  if (outcome.preemptions != 0) hit(Path::preempted);
  if (outcome.failure) {
    // The command during which it came, of the thread that saw it.
    for (std::size_t i = commands.size(); i-- > 0;) {
      if (shared.done[i]) continue;
      shared.answers[i].observation = Unexpected{
          fmt::format("{}: {}", schedule::name(outcome.failure->kind), outcome.failure->text)};
      shared.answers[i].ended = std::max(shared.answers[i].ended, shared.clock);
    }
    return std::move(shared.answers);
  }
  // Several commands are no step that a rule about one command speaks of.
  before_.reset();
  if (check_commands_ && !shared.answers.empty()) [[unlikely]] {
    if (std::string broken = broken_invariants(); !broken.empty()) {
      shared.answers.back().observation = Unexpected{std::move(broken)};
    }
  }
  return std::move(shared.answers);
}

}  // namespace lockstep::props::impl_engine
