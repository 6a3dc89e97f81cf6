// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/protocol_schedules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <vector>

#include "jobs/memslot_schedules.h"
#include "jobs/saved_schedules.h"
#include "props/schedule/stages.h"
#include "smt/protocol.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;
using tl::unexpected;

/// What a transition is in a system.
struct Act {
  std::string_view transition;
  std::string_view thread;   ///< who does it, by a name that becomes a number
  std::string_view command;  ///< that begins with it; empty: the thread is in one
  /// The step before which the thread stands then; empty: the end of its commands.
  std::string_view stands;
  unsigned nth = 1;
};
/// A state in which the system begins has been reached by these already.
constexpr std::string_view before_start = "-";

constexpr Act shrinker_acts[] = {
    {"v0 tops its cache up", "v0", "fault 0", "lock cache-lock.0", 2},
    {"v1 tops its cache up", "v1", "fault 1", "lock cache-lock.1", 2},
    {"v0 takes a page", "v0", "", ""},
    {"v1 takes a page", "v1", "", ""},
    {"the shrinker empties the cache of v0", "shrinker", "shrink 8", ""},
    {"the shrinker empties the cache of v1", "shrinker", "shrink 8", ""},
    {"the shrinker counts what it freed", "shrinker", "", ""},
};
constexpr Act counter_acts[] = {
    {"v0 tops its cache up", "v0", "fault 0", "lock mmu-lock.0"},
    {"v1 tops its cache up", "v1", "fault 1", "lock mmu-lock.1"},
    {"v0 takes a page", "v0", "", ""},
    {"v1 takes a page", "v1", "", ""},
    {"the shrinker empties the cache of v0", "shrinker", "shrink 8", ""},
    {"the shrinker empties the cache of v1", "shrinker", "shrink 8", ""},
    {"the shrinker counts what it freed", "shrinker", "", ""},
};
constexpr Act split_cache_acts[] = {
    {"a split fills the VM's cache", "split", "split 0", "lock mmu-lock.0"},
    {"a split takes a page", "split", "", ""},
};
constexpr Act dropped_root_acts[] = {
    {"the vCPU makes a root", before_start, "", ""},
    {"the vCPU loads another CR3", before_start, "", ""},
    {"current is zapped", "zap", "zap-root", "load guest-mode"},
    {"the zap of current goes on", "zap", "", ""},
    {"the vCPU takes the request", "vcpu", "run 0", "load generation"},
    {"the vCPU tests its roots", "vcpu", "", ""},
};
constexpr Act kept_root_acts[] = {
    {"the vCPU makes a root", before_start, "", ""},
    {"the vCPU loads another CR3", before_start, "", ""},
    {"current is zapped", "zap", "zap-root", "store request"},
    {"the zap of current goes on", "zap", "", ""},
    {"the vCPU takes the request", "vcpu", "run 0", "load generation"},
    {"the vCPU tests its roots", "vcpu", "", ""},
};
constexpr Act tracking_acts[] = {
    {"creation takes slots_arch_lock", "creation", "create-slot", "load enabled"},
    {"creation allocates if tracking is enabled", "creation", "", "store memslots"},
    {"creation publishes slot 1", "creation", "", ""},
    {"enabling takes slots_arch_lock", "enabling", "register", "load memslots"},
    {"enabling allocates for slot 0", "enabling", "", "store enabled"},
    {"enabling allocates for slot 1 if it is there", "enabling", "", "store enabled"},
    {"enabling sets the flag and unlocks", "enabling", "", ""},
    {"a vCPU follows a page", "follower", "track", ""},
};
constexpr Act notifier_acts[] = {
    {"a fault reads the sequence", "fault", "fault", "load host-pte"},
    {"the fault finds the host page", "fault", "", "lock mmu-lock"},
    {"the fault maps the page, or retries", "fault", "", ""},
    {"an invalidation begins and zaps", "host", "invalidate", "synchronize tlb"},
    {"the host changes the page", "host", "", "lock mmu-lock"},
    {"an invalidation ends", "host", "", ""},
};
constexpr Act unsync_acts[] = {
    {"v0 faults on the table and takes mmu_lock", "fault", "write", "lock mmu-lock"},
    {"v1 faults on the table and takes mmu_lock", "fault", "write", "lock mmu-lock"},
    {"v0 makes the table writable", "fault", "", "store unsync"},
    {"v1 makes the table writable", "fault", "", "store unsync"},
    {"v0 marks the page unsync", "fault", "", ""},
    {"v1 marks the page unsync", "fault", "", ""},
    {"a vCPU writes the guest's entry", "guest", "write", "load table", 2},
    {"v1 flushes its TLB", "guest", "flush", "load unsync"},
    {"the flush looks for unsync pages", "guest", "", ""},
};

struct Row {
  std::string_view theorem;
  TwinDefect twin;
  std::span<const Act> acts;  ///< empty: of a builder of its own
};
constexpr Row rows[] = {
    {"shrinker-lock-spans-fault", {"page-caches", "empty-cache-allocation"}, shrinker_acts},
    {"shrinker-counter-exact", {"page-caches", "inverted-null-check"}, counter_acts},
    {"split-cache-has-no-lock", {"page-caches", "inverted-null-check"}, split_cache_acts},
    {"obsolete-roots-are-dropped", {"roots", "request-before-invalid"}, dropped_root_acts},
    {"valid-roots-are-kept", {"roots", "prev-roots-kept"}, kept_root_acts},
    {"memslot-generation-publication", {"memslots", "entry-made-in-swap"}, {}},
    {"memslot-generation-zap-first", {"memslots", "wrap-zapped-late"}, {}},
    {"write-tracking-enabled-late", {"write-tracking", "lock-ends-before-swap"}, tracking_acts},
    {"write-tracking-flag-last", {"write-tracking", "flag-before-allocation"}, tracking_acts},
    {"notifier-against-fault", {"notifier", "in-progress-only"}, notifier_acts},
    {"unsync-before-writable", {"unsync", "writable-before-unsync"}, unsync_acts},
};

const Row* row_of(std::string_view theorem) {
  const auto* found = std::ranges::find(rows, theorem, &Row::theorem);
  return found == std::end(rows) ? nullptr : found;
}

tl::expected<schedule::Command, std::string> command_of(const schedule::System& system,
                                                        std::string_view text) {
  for (std::size_t i = 0; i < system.verbs.size(); ++i) {
    const auto& verb = system.verbs[i];
    const auto end = std::min(text.find(' '), text.size());
    if (text.substr(0, end) != verb.name) continue;
    unsigned number = 0;
    if (end < text.size()) {
      std::from_chars(text.data() + end + 1, text.data() + text.size(), number);
    }
    return schedule::Command{.verb = static_cast<std::uint8_t>(i),
                             .number = static_cast<std::uint8_t>(number)};
  }
  return unexpected(fmt::format("{} has no command '{}'", system.name, text));
}

/// Threads by name, in the order of their first step.
class Cast {
 public:
  unsigned number(std::string_view name) {
    const auto known = std::ranges::find(names_, name);
    if (known != names_.end()) return static_cast<unsigned>(known - names_.begin());
    names_.push_back(name);
    return static_cast<unsigned>(names_.size() - 1);
  }
  std::size_t size() const { return names_.size(); }

 private:
  std::vector<std::string_view> names_;
};

tl::expected<StagedProgram, std::string> act_out(const schedule::System& system,
                                                 std::span<const Act> acts,
                                                 const std::vector<smt::TakenStep>& steps) {
  StagedProgram program;
  Cast cast;
  for (const auto& step : steps) {
    const auto act = std::ranges::find(acts, step.transition, &Act::transition);
    if (act == acts.end()) {
      return unexpected(fmt::format("system {} has no '{}'", system.name, step.transition));
    }
    if (act->thread == before_start) continue;
    const unsigned thread = cast.number(act->thread);
    program.threads.resize(std::max<std::size_t>(program.threads.size(), cast.size()));
    if (!act->command.empty()) {
      const auto command = command_of(system, act->command);
      if (!command) return unexpected(command.error());
      program.threads[thread].push_back(*command);
    }
    program.stages.push_back(
        {.thread = thread, .label = std::string(act->stands), .nth = act->nth});
  }
  return program;
}

/// Run in stages and write down the turns.
tl::expected<schedule::Saved, std::string> perform(const schedule::System& system, unsigned defect,
                                                   StagedProgram program) {
  schedule::Runner runner;
  schedule::Stages stages(runner, program.stages);
  schedule::Recorder recorder(runner, stages);
  recorder.begin();
  const auto& outcome =
      runner.execute(recorder, [&] { return system.make(runner, defect, program.threads); });
  if (!outcome.failure) {
    return unexpected(
        fmt::format("system {} is right in the order of the counterexample", system.name));
  }
  return schedule::Saved{.comments = {},
                         .system = &system,
                         .defect = defect,
                         .threads = std::move(program.threads),
                         .turns = recorder.turns(),
                         .expect = outcome.failure->kind};
}

}  // namespace

TwinDefect defect_of_twin(std::string_view theorem) {
  const Row* row = row_of(theorem);
  return row == nullptr ? TwinDefect{} : row->twin;
}

tl::expected<schedule::Saved, std::string> schedule_of(const smt::Theorem& theorem, smt::Side side,
                                                       const smt::Proof& refuted) {
  const Row* row = row_of(theorem.name);
  const auto* body = std::get_if<smt::ProtocolBody>(&theorem.body);
  if (row == nullptr || body == nullptr) return unexpected(std::string("no system models it"));
  const schedule::System* system = schedule::find_system(row->twin.system);
  if (system == nullptr) return unexpected(fmt::format("no system {}", row->twin.system));
  unsigned defect = schedule::no_defect;
  if (side == smt::Side::broken_rule) {
    const auto found =
        std::ranges::find(system->defects, row->twin.defect, &schedule::Defect::name);
    if (found == system->defects.end()) {
      return unexpected(fmt::format("{} has no defect {}", system->name, row->twin.defect));
    }
    defect = static_cast<unsigned>(found - system->defects.begin());
  }
  const smt::Protocol protocol = (*body)(side);
  const auto steps = smt::taken_steps(protocol, refuted.counterexample, refuted.bound);
  const auto start = smt::state_at_start(protocol, refuted.counterexample);
  auto program = row->acts.empty()
                     ? memslot_program(*system, start, steps,
                                       /*zaps_last=*/row->twin.defect == "wrap-zapped-late" &&
                                           defect != schedule::no_defect)
                     : act_out(*system, row->acts, steps);
  if (!program) return unexpected(program.error());
  auto saved = perform(*system, defect, *std::move(program));
  if (saved) {
    saved->comments = {fmt::format("counterexample of {}{}", theorem.name,
                                   side == smt::Side::broken_rule ? ", twin:" : ""),
                       side == smt::Side::broken_rule ? theorem.twin : "the rule itself"};
  }
  return saved;
}

ScheduleReplay replay_both(const schedule::Saved& saved) {
  ScheduleReplay both;
  schedule::Runner runner;
  const auto broken = schedule::replay(runner, saved, /*trace=*/true);
  const auto& failure = broken.outcome.failure;
  both.shows = !broken.missed && failure && saved.expect == failure->kind;
  if (failure) both.failure = fmt::format("{}: {}", schedule::name(failure->kind), failure->text);
  both.page = page_of(saved, broken);
  schedule::Saved mended = saved;
  mended.defect = schedule::no_defect;
  // Turns that do not come any more are no failure: the lock that is held now.
  both.mended = !schedule::replay(runner, mended, /*trace=*/false).outcome.failure;
  return both;
}

}  // namespace lockstep::jobs
