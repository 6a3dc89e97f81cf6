// SPDX-License-Identifier: GPL-2.0-or-later
/// A subsystem whose commands run on threads under controlled schedules, with
/// named defects of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "props/schedule/runner.h"

namespace lockstep::props::schedule {

/// A command's name, and the end of the range of its number; 0: it has none.
struct Verb {
  std::string_view name;
  unsigned end = 0;
  /// Numbers that exhaustive search takes, a bit each: others show the same.
  std::uint32_t telling = ~0u;
  /// It calls Runner::fail_allocation().
  bool fails_allocation = false;
};

struct Command {
  std::uint8_t verb = 0;  ///< index in System::verbs
  std::uint8_t number = 0;
  bool operator==(const Command&) const = default;
};

/// The commands of each thread.
using Threads = std::vector<std::vector<Command>>;

struct Defect {
  std::string_view name;     ///< as on the command line; unique among all systems
  std::string_view title;    ///< what the defect does
  std::string_view history;  ///< the bug that it stands for
  std::size_t commands = 6;  ///< its shortest schedule must have no more
};

/// No defect; else an index in System::defects.
inline constexpr unsigned no_defect = ~0u;

class SystemBody;

struct System {
  std::string_view name;
  std::string_view title;
  /// Code of impl that runs, or what the system is a model of.
  std::string_view runs;
  /// What must hold.
  std::string_view property;
  std::span<const Verb> verbs;
  std::span<const Defect> defects;
  /// May own what the system runs on.
  std::function<std::unique_ptr<SystemBody>(Runner& runner, unsigned defect,
                                            const Threads& threads)>
      make;
  /// What it runs on, "hosted:6.1"; empty if the system is all there is.
  std::string_view engine = {};
};

/// "fault 0".
std::string print(const System& system, Command command);

/// One run of a system.
class SystemBody : public Body {
 public:
  /// Tells the runner's witness what will run.
  SystemBody(const System& system, Runner& runner, unsigned defect, const Threads& threads);
  unsigned threads() const final { return static_cast<unsigned>(program_->size()); }
  void thread(unsigned id) final;

 protected:
  virtual void command(Command command) = 0;
  bool has(unsigned defect) const { return defect_ == defect; }
  Runner& runner() const { return *runner_; }

 private:
  const System* system_;
  Runner* runner_;
  unsigned defect_;
  const Threads* program_;
};

/// Every system there is.
std::span<const System> systems();
/// Null if there is none of this name among them.
const System* find_system(std::string_view name, std::span<const System> among = systems());

}  // namespace lockstep::props::schedule
