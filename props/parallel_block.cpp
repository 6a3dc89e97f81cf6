// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/parallel_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>

#include "props/schedule/random.h"

namespace lockstep::props {
namespace {

/// Goes on with one thread for a while, then with any: how long depends on the seed.
class Wander final : public schedule::Scheduler {
 public:
  explicit Wander(std::uint64_t seed) : random_(seed), stay_(1u << (2 * random_.below(3))) {}
  bool begin() override { return true; }
  unsigned choose(const schedule::Choice& choice) override {
    if (choice.can(choice.current) && random_.below(stay_) != 0) return choice.current;
    unsigned left = random_.below(static_cast<unsigned>(std::popcount(choice.enabled)));
    for (unsigned thread = 0;; ++thread) {
      if (choice.can(thread) && left-- == 0) return thread;
    }
  }

 private:
  schedule::Random random_;
  unsigned stay_;  ///< a change every so many steps
};

/// The commands of a block, each thread's on its fiber.
class BlockBody final : public schedule::Body {
 public:
  using Execute = std::function<Result<Observation>(const Command&)>;
  struct Shared {
    std::span<const ParallelCommand> commands;
    std::vector<ParallelAnswer> answers;
    std::vector<bool> done;
    std::optional<EngineError> error;
    std::uint64_t clock = 0;
  };
  BlockBody(const schedule::Runner& runner, Shared& shared, unsigned threads,
            const Execute& execute)
      : runner_(runner), shared_(shared), threads_(threads), execute_(execute) {}

  unsigned threads() const override { return threads_; }
  void thread(unsigned id) override {
    for (std::size_t i = 0; i < shared_.commands.size(); ++i) {
      if (shared_.commands[i].thread != id) continue;
      shared_.answers[i].began = shared_.clock++;
      auto seen = execute_(shared_.commands[i].command);
      // A kernel that is left in the middle of it has no answer.
      if (runner_.over()) return;
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
  const schedule::Runner& runner_;
  Shared& shared_;
  unsigned threads_;
  const Execute& execute_;
};

/// The last command of the thread; the block's, if it has none.
std::size_t last_of(std::span<const ParallelCommand> commands, unsigned thread) {
  for (std::size_t i = commands.size(); i-- > 0;) {
    if (commands[i].thread == thread) return i;
  }
  return commands.size() - 1;
}

}  // namespace

Result<BlockRun> run_block(schedule::Runner& runner, std::span<const ParallelCommand> commands,
                           std::function<Result<Observation>(const Command&)> execute) {
  unsigned threads = 0;
  for (const ParallelCommand& command : commands) threads = std::max(threads, command.thread + 1);
  if (threads > schedule::most_threads) {
    return tl::unexpected(EngineError{fmt::format("at most {} threads", schedule::most_threads)});
  }
  BlockBody::Shared shared{commands, std::vector<ParallelAnswer>(commands.size()),
                           std::vector<bool>(commands.size()), std::nullopt};
  Wander wander(commands.empty() ? 0 : commands.front().schedule);
  const auto& outcome = runner.execute(
      wander, [&] { return std::make_unique<BlockBody>(runner, shared, threads, execute); });
  // What failed first may be why the engine gave up.
  if (!outcome.failure && shared.error) return tl::unexpected(*shared.error);
  BlockRun run{std::move(shared.answers), outcome.preemptions, std::nullopt};
  if (!outcome.failure) return run;
  run.failure = fmt::format("{}: {}", schedule::name(outcome.failure->kind), outcome.failure->text);
  const auto kind = outcome.failure->kind;
  const bool kept =
      kind == schedule::FailureKind::lock_kept || kind == schedule::FailureKind::unbalanced;
  const bool all_done = std::ranges::find(shared.done, false) == shared.done.end();
  if ((kept || all_done) && !commands.empty()) {
    shared.done[last_of(commands, outcome.failure->thread)] = false;
  }
  for (std::size_t i = commands.size(); i-- > 0;) {
    if (shared.done[i]) continue;
    run.answers[i].observation = Unexpected{*run.failure};
    run.answers[i].ended = std::max(run.answers[i].ended, shared.clock);
  }
  return run;
}

}  // namespace lockstep::props
