// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/fresh_process.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "jobs/hosted_schedules.h"
#include "props/schedule/schedulers.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;

/// Far more than one run takes on a busy machine.
constexpr std::chrono::seconds patience{60};

nlohmann::json run(const std::filesystem::path& image, const std::string& engine,
                   const nlohmann::json& what) {
  auto opened = HostedSystems::open(image, engine);
  if (!opened) return {{"broken", opened.error()}};
  const auto* const system =
      schedule::find_system(what["system"].get<std::string>(), (*opened)->systems());
  if (system == nullptr) return {{"broken", "no such system"}};
  schedule::Threads threads;
  for (const auto& commands : what["threads"]) {
    auto& thread = threads.emplace_back();
    for (const auto& command : commands) {
      thread.push_back(
          {.verb = command[0].get<std::uint8_t>(), .number = command[1].get<std::uint8_t>()});
    }
  }
  schedule::Runner runner;
  schedule::Follow follow(what["order"].get<std::vector<std::uint8_t>>());
  follow.begin();
  const auto& outcome =
      runner.execute(follow, [&] { return system->make(runner, schedule::no_defect, threads); });
  return {{"fingerprint", outcome.fingerprint},
          {"failure", outcome.failure ? outcome.failure->text : std::string()}};
}

/// The message of a child that does this one thing.
std::string in_child(const std::function<nlohmann::json()>& body) {
  auto child = props::Child::start([&](props::Channel& channel) {
    (void)channel.send(body().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  });
  if (!child) return nlohmann::json{{"broken", child.error()}}.dump();
  std::string message;
  const auto end = std::chrono::steady_clock::now() + patience;
  if (child->channel().receive(message, end) == props::Channel::Status::message) return message;
  child->end();
  return nlohmann::json{{"broken", child->how()}}.dump();
}

}  // namespace

tl::expected<FreshProcess, std::string> FreshProcess::start(const std::filesystem::path& image,
                                                            const std::string& engine) {
  auto child = props::Child::start([image, engine](props::Channel& channel) {
    const auto never = std::chrono::steady_clock::time_point::max();
    for (std::string message; channel.receive(message, never) == props::Channel::Status::message;) {
      const auto what = nlohmann::json::parse(message);
      if (!channel.send(in_child([&] { return run(image, engine, what); }))) return;
    }
  });
  if (!child) return tl::unexpected(child.error());
  return FreshProcess(std::move(*child));
}

std::optional<std::string> FreshProcess::compare(const schedule::System& system,
                                                 const schedule::Threads& threads,
                                                 const schedule::Outcome& outcome) {
  auto all = nlohmann::json::array();
  for (const auto& thread : threads) {
    auto commands = nlohmann::json::array();
    for (const auto& command : thread) {
      commands.push_back(nlohmann::json::array({command.verb, command.number}));
    }
    all.push_back(std::move(commands));
  }
  const nlohmann::json what = {
      {"system", system.name}, {"threads", std::move(all)}, {"order", outcome.order}};
  std::string message;
  if (!child_.channel().send(what.dump()) ||
      child_.channel().receive(message, std::chrono::steady_clock::now() + 2 * patience) !=
          props::Channel::Status::message) {
    return "the fresh process does not answer";
  }
  const auto told = nlohmann::json::parse(message);
  if (told.contains("broken")) return "a fresh process: " + told["broken"].get<std::string>();
  if (told["fingerprint"].get<std::uint64_t>() == outcome.fingerprint) return std::nullopt;
  const auto failure = told["failure"].get<std::string>();
  return fmt::format("a fresh process runs the same order otherwise{}{}",
                     failure.empty() ? "" : ": ", failure);
}

OpenSystems open_audited(const std::filesystem::path& image, const std::string& engine) {
  return [image, engine]() -> tl::expected<OpenedSystems, std::string> {
    auto started = FreshProcess::start(image, engine);
    if (!started) return tl::unexpected(started.error());
    const auto fresh = std::make_shared<FreshProcess>(*std::move(started));
    auto opened = open_hosted(image, engine)();
    if (!opened) return opened;
    opened->audit = [fresh](const auto& system, const auto& threads, const auto& outcome) {
      return fresh->compare(system, threads, outcome);
    };
    return opened;
  };
}

}  // namespace lockstep::jobs
