// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/memslot_schedules.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;
using schedule::Command;
using tl::unexpected;

constexpr unsigned slots = 0;  ///< the thread that changes them
constexpr std::uint64_t bits_of_theorem = 19;
constexpr unsigned period = 4;  ///< of the system

/// A generation in the system: what wraps next and what has just wrapped stay so.
unsigned position(std::uint64_t generation) {
  constexpr std::uint64_t last = (1ull << bits_of_theorem) - 1;
  const std::uint64_t low = generation & last;
  if (low == 0) return 0;
  return low == last ? period - 1 : 1 + static_cast<unsigned>(low & 1);
}

class Builder {
 public:
  explicit Builder(const schedule::System& system) : system_(system) { program_.threads.resize(1); }

  /// The slot is there or not, and the generation stands, without anybody between.
  void go_to(bool slot, unsigned generation) {
    if (slot != slot_) whole(slot ? "create-slot" : "delete-slot", 0, slot ? 1 : 2);
    slot_ = slot;
    const unsigned more = (generation + period - generation_) % period;
    if (more != 0) whole("swap-others", more, more);
  }
  /// One swap, up to the place where readers of the old memslots are waited for.
  void publish(bool slot, unsigned before) {
    // A slot that goes is invalid first, which is a swap of its own.
    const bool deletes = slot_ && !slot;
    go_to(slot_, (before + period - (deletes ? 1 : 0)) % period);
    add(slot == slot_ ? "swap-others"
        : slot        ? "create-slot"
                      : "delete-slot",
        slot == slot_ ? 1 : 0);
    advance(slots, "grace srcu", deletes ? 2 : 1);
    slot_ = slot;
    generation_ = (before + 1) % period;
  }
  /// Of the swap under way.
  void before(std::string_view label) { advance(slots, label, 1); }
  /// To the next command, or the end.
  void end_swap() { advance(slots, "lock slots-lock", 1); }

  void access_begins() {
    access();
    advance(guest(), "lock mmu-lock", 1);
  }
  void access_ends() { advance(guest(), "", 1); }
  StagedProgram end() && {
    access();
    access_ends();
    return std::move(program_);
  }

 private:
  Command command(std::string_view verb, unsigned number) const {
    const auto found = std::ranges::find(system_.verbs, verb, &schedule::Verb::name);
    return {.verb = static_cast<std::uint8_t>(found - system_.verbs.begin()),
            .number = static_cast<std::uint8_t>(number)};
  }
  /// A thread each: what an access may see is what stands while it goes on.
  void access() { program_.threads.push_back({command("access", 0)}); }
  unsigned guest() const { return static_cast<unsigned>(program_.threads.size() - 1); }
  void add(std::string_view verb, unsigned number) {
    program_.threads[slots].push_back(command(verb, number));
  }
  void advance(unsigned thread, std::string_view label, unsigned nth) {
    program_.stages.push_back({.thread = thread, .label = std::string(label), .nth = nth});
  }
  void whole(std::string_view verb, unsigned number, unsigned swaps) {
    add(verb, number);
    // Its own lock is the first.
    advance(slots, "lock slots-lock", 2);
    generation_ = (generation_ + swaps) % period;
  }

  const schedule::System& system_;
  StagedProgram program_;
  bool slot_ = false;
  unsigned generation_ = 0;
};

}  // namespace

tl::expected<StagedProgram, std::string> memslot_program(const schedule::System& system,
                                                         const smt::Assignment& start,
                                                         const std::vector<smt::TakenStep>& steps,
                                                         bool zaps_last) {
  Builder builder(system);
  smt::Assignment before = start;
  const auto slot_in = [](const smt::Assignment& state) { return state.at("gfn-has-slot") != 0; };
  builder.go_to(slot_in(start), position(start.at("generation")));
  for (const auto& step : steps) {
    if (step.transition == "new memslots are published") {
      builder.publish(slot_in(step.state), position(before.at("generation")));
    } else if (step.transition == "MMIO entries are zapped if the new generation wraps") {
      builder.before("store generation");
    } else if (step.transition == "the new generation is published" && zaps_last) {
      builder.before("lock mmu-lock");
    } else if (step.transition == "the new generation is published") {
      builder.end_swap();
    } else if (step.transition == "MMIO entries are zapped if it wraps") {
      builder.end_swap();
    } else if (step.transition == "memslots are swapped many times") {
      builder.go_to(slot_in(step.state), position(step.state.at("generation")));
    } else if (step.transition == "the vCPU begins a fault") {
      builder.access_begins();
    } else if (step.transition == "the vCPU ends its fault") {
      builder.access_ends();
    } else {
      return unexpected(fmt::format("system {} has no '{}'", system.name, step.transition));
    }
    before = step.state;
  }
  return std::move(builder).end();
}

}  // namespace lockstep::jobs
