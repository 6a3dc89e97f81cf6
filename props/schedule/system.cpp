// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/system.h"

#include <fmt/format.h>

#include <array>

#include "props/schedule/page_caches.h"
#include "props/schedule/protocols.h"
#include "props/schedule/saved.h"

namespace lockstep::props::schedule {

std::string print(const System& system, Command command) {
  const Verb& verb = system.verbs[command.verb];
  return verb.end == 0 ? std::string(verb.name) : fmt::format("{} {}", verb.name, command.number);
}

SystemBody::SystemBody(const System& system, Runner& runner, unsigned defect,
                       const Threads& threads)
    : system_(&system), runner_(&runner), defect_(defect), program_(&threads) {
  if (Witness* const witness = runner.witness()) {
    witness->program(print(Saved{.system = &system, .defect = defect, .threads = threads}));
  }
  for (const auto& commands : threads) {
    for (const Command one : commands) {
      if (system.verbs[one.verb].fails_allocation) runner.tell_allocations();
    }
  }
}

void SystemBody::thread(unsigned id) {
  for (const Command one : (*program_)[id]) {
    if (runner_->tracing()) runner_->note(print(*system_, one));
    command(one);
    // What was left in its middle, because the run is over, has come back here.
    if (runner_->over()) return;
  }
}

std::span<const System> systems() {
  static const std::array<System, 8> all = {
      page_caches,    root_protocol,     memslot_protocol,   write_tracking_protocol,
      split_protocol, notifier_protocol, dirty_log_protocol, unsync_protocol};
  return all;
}

const System* find_system(std::string_view name, std::span<const System> among) {
  for (const System& system : among) {
    if (system.name == name) return &system;
  }
  return nullptr;
}

}  // namespace lockstep::props::schedule
