// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/schedule_hunt.h"

#include <algorithm>

#include "jobs/schedules.h"
#include "props/child.h"
#include "props/schedule/search.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;
using End = ScheduleHunt::End;

/// Of one system, before the next has its turn.
constexpr double turn_seconds = 1;

nlohmann::json wire_of(const schedule::Found& found, const schedule::Tally& tally) {
  std::size_t commands = 0;
  for (const auto& thread : found.saved.threads) commands += thread.size();
  return {{"kind", name(found.failure.kind)}, {"title", found.failure.text},
          {"saved", print(found.saved)},      {"commands", commands},
          {"schedules", tally.schedules},     {"seconds", tally.seconds}};
}

nlohmann::json hunt_here(schedule::Runner& runner, const Say& say,
                         const ScheduleHuntOptions& options) {
  const auto opened = options.open();
  if (!opened) return {{"broken", opened.error()}};
  schedule::Tally tally;
  const auto systems = opened->systems;
  const double most = options.seconds * static_cast<double>(systems.size());
  say({{"limit", most}});
  for (std::uint64_t round = 0; tally.seconds < most; ++round) {
    const schedule::System& system = systems[round % systems.size()];
    const auto found = search(runner, system, schedule::no_defect, options.seed + round,
                              {.seconds = std::min(turn_seconds, most - tally.seconds)}, tally);
    if (!found) continue;
    say({{"first", wire_of(*found, tally)}});
    schedule::Tally shrinking;
    for (const auto& small : {shrink(runner, *found, shrinking, options.shrink_seconds), *found}) {
      const auto saved = schedule::parse_saved(print(small.saved), systems);
      if (!saved) return {{"broken", saved.error()}};
      const auto again = replay(runner, *saved, /*trace=*/false);
      if (again.missed || again.outcome.failure != small.failure) continue;
      return wire_of(small, tally);
    }
    return {{"not_again", true}};
  }
  return {{"schedules", tally.schedules}, {"seconds", tally.seconds}};
}

void fill(ScheduleHunt& hunt, const nlohmann::json& told) {
  hunt.kind = told.value("kind", "");
  hunt.title = told.value("title", "");
  hunt.saved = told.value("saved", "");
  hunt.commands = told.value("commands", std::uint64_t{0});
  hunt.schedules = told.value("schedules", std::uint64_t{0});
  hunt.cpu_seconds = told.value("seconds", 0.0);
}

}  // namespace

ScheduleHunt hunt_schedules(const ScheduleHuntOptions& options) {
  ScheduleHunt hunt;
  const props::SharedObject<schedule::Witness> witness;
  if (!witness) {
    hunt.title = "no shared memory";
    return hunt;
  }
  nlohmann::json first;
  const auto end = run_in_child(
      *witness,
      [&](schedule::Runner& runner, const Say& say) { return hunt_here(runner, say, options); },
      {.patience = options.patience,
       .heard =
           [&](const nlohmann::json& what) {
             hunt.limit_seconds = what.value("limit", hunt.limit_seconds);
             if (what.contains("first")) first = what["first"];
           },
       .tick =
           [&](const schedule::Witness&) {
             return options.stop != nullptr && options.stop->load();
           }});
  const auto& answer = end.answer;
  if (end.kind == ScheduleEnd::Kind::ended) {
    hunt.title = "interrupted";
    return hunt;
  }
  if (end.kind == ScheduleEnd::Kind::answered && !answer.contains("broken")) {
    fill(hunt, answer.contains("not_again") ? first : answer);
    hunt.end = answer.contains("not_again") ? End::not_again
               : hunt.kind.empty()          ? End::nothing
                                            : End::found;
  } else if (!first.is_null()) {
    // It failed before it was made smaller, or ran again.
    fill(hunt, first);
    const auto again = replay_in_child(hunt.saved, options.open, options.patience);
    hunt.end = again.title == hunt.title ? End::found : End::not_again;
  } else if (end.died()) {
    const auto pinned = pin_down(end, *witness, options.open, options.patience);
    hunt.end = pinned.unsteady ? End::not_again : End::found;
    hunt.kind = pinned.kind;
    hunt.title = pinned.title;
    hunt.saved = pinned.saved;
    hunt.schedules = witness->runs();
    hunt.cpu_seconds = end.cpu_seconds;
  } else {
    hunt.title = end.kind == ScheduleEnd::Kind::answered ? answer.value("broken", "") : end.how;
    hunt.schedules = witness->runs();
    hunt.cpu_seconds = end.cpu_seconds;
  }
  return hunt;
}

}  // namespace lockstep::jobs
