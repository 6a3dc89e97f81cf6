// SPDX-License-Identifier: GPL-2.0-or-later
/// Of the tests: a machine small enough to be right at sight (memory by linear
/// address, no tables), its model, and an engine with a seeded bug.
#pragma once

#include <unistd.h>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "props/engine_factory.h"
#include "props/model.h"
#include "spec/engine.h"

namespace lockstep::props::toy {

/// What every command shows; the only rule that the toy has.
class World {
 public:
  Observation step(const Command& command) {
    if (const auto* access = std::get_if<Access>(&command)) {
      if (access->kind == AccessKind::write) {
        memory_[access->gva] = access->value;
        return Done{};
      }
      return Value{memory_[access->gva]};
    }
    if (std::holds_alternative<Translate>(command)) return Translation{};
    if (std::holds_alternative<Peek>(command)) return Value{0};
    if (std::holds_alternative<DirtyGet>(command)) return Errno{2};
    return Done{};
  }

 private:
  std::map<Gva, std::uint64_t> memory_;
};

class ToyModel final : public Model {
 public:
  spec::Judgement judge(const Command& command, const Observation& observation) override {
    if (world_.step(command) == observation) return {};
    return {spec::Judgement::Kind::refused, "the toy says otherwise"};
  }
  std::vector<Observation> admitted(const Command& command) const override {
    auto copy = world_;
    return {copy.step(command)};
  }
  std::string explain(const Command&) const override { return "walk of the toy"; }
  const std::array<std::uint64_t, spec::looseness_count>& looseness_used() const override {
    return looseness_;
  }

 private:
  World world_;
  std::array<std::uint64_t, spec::looseness_count> looseness_{};
};

inline ModelFactory models() {
  return [](const Configuration&, const Platform&) { return std::make_unique<ToyModel>(); };
}

enum class Bug {
  none,
  stale_after_invlpg,  ///< a read later than an INVLPG shows one too many
  livelock,            ///< at the first write
  lost,                ///< Unexpected at the first write
  crash,               ///< the process dies at the first fetch
  hang,                ///< no answer to the first fetch: it sleeps
  spin,                ///< ... it works for ever
  waits,               ///< the first fetch is answered late, without work
  wrong_peek,          ///< every peek shows another byte
  leak,                ///< a teardown finding if the program wrote
  error,               ///< EngineError at the first write
  lingers,             ///< wrong reads once three programs of this VM wrote
  stuck_forever        ///< from that point on, fresh or not
};

class ToyEngine final : public Engine {
 public:
  ToyEngine(std::string name, Bug bug, Features missing = {}) : name_(std::move(name)), bug_(bug) {
    platform_.features = ~missing;
    platform_.max_vcpus = 2;
    platform_.provenance = {{"toy", "yes"}};
  }

  std::string_view name() const override { return name_; }
  const Platform& platform() const override { return platform_; }
  Result<void> begin(const Configuration&, bool fresh) override {
    if (fresh && bug_ != Bug::stuck_forever) programs_that_wrote_ = 0;
    world_ = {};
    flushed_ = wrote_ = false;
    return {};
  }
  Result<Observation> execute(const Command& command) override {
    auto observation = world_.step(command);
    if (std::holds_alternative<Invlpg>(command)) flushed_ = true;
    if (bug_ == Bug::wrong_peek && std::holds_alternative<Peek>(command)) return Value{1};
    const auto* access = std::get_if<Access>(&command);
    if (access == nullptr) return observation;
    if (access->kind == AccessKind::write) {
      if (!wrote_) ++programs_that_wrote_;
      wrote_ = true;
      if (bug_ == Bug::livelock) return Observation{Livelock{64}};
      if (bug_ == Bug::lost) return Observation{Unexpected{"shutdown"}};
      if (bug_ == Bug::error) return tl::unexpected(EngineError{"out of toys"});
    } else if (access->kind == AccessKind::fetch) {
      if (bug_ == Bug::crash) _exit(42);
      while (bug_ == Bug::hang) sleep(1);
      while (bug_ == Bug::spin) getppid();
      if (bug_ == Bug::waits && !std::exchange(waited_, true)) usleep(900'000);
    } else if ((bug_ == Bug::stale_after_invlpg && flushed_) ||
               (bug_ == Bug::lingers && programs_that_wrote_ >= 3) ||
               (bug_ == Bug::stuck_forever && programs_that_wrote_ >= 3)) {
      std::get<Value>(observation).value += 1;
    }
    return observation;
  }
  /// One after the other, in the order of the text.
  Result<std::vector<ParallelAnswer>> execute_parallel(
      std::span<const ParallelCommand> commands) override {
    std::vector<ParallelAnswer> answers;
    for (const ParallelCommand& command : commands) {
      auto observation = execute(command.command);
      if (!observation) return tl::unexpected(observation.error());
      answers.push_back({std::move(*observation), 2 * answers.size(), 2 * answers.size() + 1});
    }
    return answers;
  }
  Result<Observation> end() override {
    if (bug_ == Bug::leak && wrote_) return Observation{Unexpected{"one page leaked"}};
    return Observation{Done{}};
  }
  const std::map<std::string, std::uint64_t>& reached() const override { return reached_; }

 private:
  std::string name_;
  Bug bug_;
  Platform platform_;
  World world_;
  bool flushed_ = false;
  bool waited_ = false;
  bool wrote_ = false;
  int programs_that_wrote_ = 0;
  std::map<std::string, std::uint64_t> reached_;
};

/// An engine factory that knows names by what they do.
inline EngineFactory factory(std::map<std::string, Bug> bugs) {
  return [bugs](std::string_view name, std::uint64_t) -> Result<std::unique_ptr<Engine>> {
    const auto found = bugs.find(std::string(name));
    if (found == bugs.end()) return tl::unexpected(EngineError{"no such toy"});
    return std::make_unique<ToyEngine>(found->first, found->second);
  };
}

/// A program of steps over level4 paging.
inline Program program(std::vector<Command> commands) {
  Program program;
  program.title = "toy";
  for (auto& command : commands) {
    program.steps.push_back({std::move(command), std::nullopt, {}, {}});
  }
  return program;
}

inline Access read(Gva gva) { return {0, AccessKind::read, Cpl::user, gva, 0, 8, false}; }
inline Access write(Gva gva, std::uint64_t value) {
  return {0, AccessKind::write, Cpl::user, gva, value, 8, false};
}
inline Access fetch(Gva gva) { return {0, AccessKind::fetch, Cpl::user, gva, 0, 8, false}; }

}  // namespace lockstep::props::toy
