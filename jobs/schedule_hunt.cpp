// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/schedule_hunt.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "jobs/hosted_scenarios.h"
#include "jobs/hosted_schedules.h"
#include "props/child.h"
#include "props/schedule/search.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;

/// Of one system, before the next has its turn.
constexpr double turn_seconds = 1;
constexpr double shrink_seconds = 15;

/// Of wall time for each second of CPU time, on a busy machine, and for the rest.
constexpr int wall_factor = 8;
constexpr std::chrono::seconds grace{120};

nlohmann::json hunt_here(const ScheduleHuntOptions& options) {
  auto opened = HostedSystems::open(options.image, options.engine);
  if (!opened) return {{"broken", opened.error()}};
  schedule::Runner runner;
  schedule::Tally tally;
  const auto systems = (*opened)->systems();
  const double most = options.seconds * static_cast<double>(systems.size());
  for (std::uint64_t round = 0; tally.seconds < most; ++round) {
    const schedule::System& system = systems[round % systems.size()];
    auto found = search(runner, system, schedule::no_defect, options.seed + round,
                        {.seconds = std::min(turn_seconds, most - tally.seconds)}, tally);
    if (!found) continue;
    schedule::Tally shrinking;
    const double seconds = tally.seconds;
    const schedule::Found first = *found;
    for (const auto& small : {shrink(runner, first, shrinking, shrink_seconds), first}) {
      const auto saved = schedule::parse_saved(print(small.saved), systems);
      if (!saved) return {{"broken", saved.error()}};
      const auto again = replay(runner, *saved, /*trace=*/false);
      if (again.missed || again.outcome.failure != small.failure) continue;
      std::size_t commands = 0;
      for (const auto& thread : small.saved.threads) commands += thread.size();
      return {{"kind", name(small.failure.kind)}, {"title", small.failure.text},
              {"saved", print(small.saved)},      {"commands", commands},
              {"schedules", tally.schedules},     {"seconds", seconds}};
    }
    return {{"broken", "found once, and not again: " + first.failure.text}};
  }
  return {{"schedules", tally.schedules}, {"seconds", tally.seconds}};
}

/// The message of a child; what ended it otherwise.
nlohmann::json ask(const std::function<nlohmann::json()>& body, std::chrono::seconds wall) {
  auto child = props::Child::start([&](props::Channel& channel) {
    (void)channel.send(body().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  });
  if (!child) return {{"broken", child.error()}};
  std::string message;
  const auto status = child->channel().receive(message, std::chrono::steady_clock::now() + wall);
  if (status == props::Channel::Status::message) return nlohmann::json::parse(message);
  const bool late = status == props::Channel::Status::timeout;
  child->end();
  return {{"broken", late ? "it did not come to an end" : child->how()}};
}

}  // namespace

ScheduleHunt hunt_schedules(const ScheduleHuntOptions& options) {
  const double most = options.seconds * static_cast<double>(hosted_scenarios().size());
  const auto wall = std::chrono::seconds(static_cast<long>(most + shrink_seconds) * wall_factor);
  const auto told = ask([&] { return hunt_here(options); }, wall + grace);
  ScheduleHunt hunt;
  hunt.found = told.contains("title");
  hunt.kind = told.value("kind", "");
  hunt.title = told.value("title", "");
  hunt.saved = told.value("saved", "");
  hunt.commands = told.value("commands", std::uint64_t{0});
  hunt.schedules = told.value("schedules", std::uint64_t{0});
  hunt.cpu_seconds = told.value("seconds", 0.0);
  hunt.broken = told.value("broken", "");
  return hunt;
}

std::string replay_schedule_on(const std::filesystem::path& image, const std::string& engine,
                               const std::string& saved) {
  const auto told = ask(
      [&]() -> nlohmann::json {
        auto opened = HostedSystems::open(image, engine);
        if (!opened) return {{"broken", opened.error()}};
        const auto parsed = schedule::parse_saved(saved, (*opened)->systems());
        if (!parsed) return {{"broken", parsed.error()}};
        schedule::Runner runner;
        const auto& failure = replay(runner, *parsed, /*trace=*/false).outcome.failure;
        return {{"title", failure ? failure->text : std::string()}};
      },
      grace);
  const std::string broken = told.value("broken", "");
  return broken.empty() ? told.value("title", "") : "broken: " + broken;
}

}  // namespace lockstep::jobs
