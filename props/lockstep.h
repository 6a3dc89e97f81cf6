// SPDX-License-Identifier: GPL-2.0-or-later
/// One program on several engines side by side, each judged by a model of its
/// own, up to the first step that one of them should not have shown.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "props/finding.h"
#include "props/model.h"
#include "props/verdict.h"
#include "spec/engine.h"
#include "spec/program.h"

namespace lockstep::props {

/// What one engine showed at one step; pointers live during the callback only.
struct Answer {
  std::string_view engine;
  const Observation* observation = nullptr;  ///< none: skipped, or the engine failed
  const spec::Judgement* judgement = nullptr;
};

/// One executed step, for `replay --step`.
struct StepTrace {
  /// Index in Program::steps; several traces share it where Map was lowered.
  std::size_t step = 0;
  const Command* command = nullptr;
  /// One an engine, in the order given to the constructor.
  std::span<const Answer> answers;
};
using StepWatcher = std::function<void(const StepTrace&)>;

/// Where a run is, readable from another process (the words lie in shared
/// memory) after this one died.
struct Position {
  std::atomic<std::uint64_t> step{0};
  /// Index of the engine that executes; `judging` while a model thinks.
  std::atomic<std::uint32_t> engine{0};
  std::atomic<std::uint32_t> judging{0};
};

struct RunOptions {
  /// Ask engines for a new VM.
  bool fresh = false;
  StepWatcher watch;
  /// Not owned; may be null.
  Position* position = nullptr;
};

struct Skip {
  std::string engine;
  std::string reason;
};

struct Outcome {
  /// pass: every engine ran to the end and was admitted everywhere. A skipped
  /// engine makes `no_verdict` of what would be a pass.
  Verdict verdict = Verdict::pass;
  /// Why, for input_error and no_verdict; one line.
  std::string reason;
  std::optional<Finding> finding;
  std::vector<Skip> skips;
  /// An engine said EngineError: its name. It must not be used again.
  std::string broken;
  /// The model passed a bound while it judged.
  bool undecided = false;
  /// Lowered commands executed on each engine that ran.
  std::uint64_t commands = 0;
  /// Engines that ran, by index.
  std::uint64_t ran = 0;
};

/// Owns its engines. Not thread-safe.
class Lockstep {
 public:
  /// At most 64 engines. The model factory judges every engine but `spec`,
  /// which carries its own model (props/spec_engine.h).
  Lockstep(std::vector<std::unique_ptr<Engine>> engines, ModelFactory models);
  ~Lockstep();
  Lockstep(Lockstep&&) noexcept;
  Lockstep& operator=(Lockstep&&) noexcept;

  /// Run one program. `mask` selects engines by index (all by default).
  Outcome run(const Program& program, const RunOptions& options = {}, std::uint64_t mask = ~0ull);

  std::size_t size() const;
  Engine& engine(std::size_t index);
  std::string_view name(std::size_t index) const;
  /// Paths by count since construction: what the checks saw, and what the
  /// engine itself counted where it counts.
  std::map<std::string, std::uint64_t> reached(std::size_t index) const;
  /// How often each looseness was needed for that engine since construction.
  const std::array<std::uint64_t, spec::looseness_count>& looseness(std::size_t index) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Why the program must not run on a host's own kernel: it has a comment that
/// begins "# Danger:", and LOCKSTEP_CORPUS_DANGER is not set.
std::optional<std::string> danger(const Program& program);

/// The lowered steps [first, end), a parallel block, as engines are given them.
std::vector<ParallelCommand> parallel_commands(const Lowered& lowered, std::size_t first,
                                               std::size_t end);

/// Why the engine cannot run the program, if it cannot.
std::optional<std::string> lacks(const Platform& platform, const Program& program);

}  // namespace lockstep::props
