// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/fresh_process.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "jobs/hosted_schedules.h"
#include "props/schedule/schedulers.h"

namespace lockstep::jobs {
namespace {

namespace schedule = props::schedule;
using schedule::Failure;
using schedule::FailureKind;

nlohmann::json run(const OpenSystems& open, const nlohmann::json& what) {
  const auto opened = open();
  if (!opened) return {{"broken", opened.error()}};
  const auto* const system =
      schedule::find_system(what["system"].get<std::string>(), opened->systems);
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
  nlohmann::json told = {{"fingerprint", outcome.fingerprint}};
  if (outcome.failure) {
    told["kind"] = static_cast<unsigned>(outcome.failure->kind);
    told["text"] = outcome.failure->text;
  }
  return told;
}

/// The message of a child that does this one thing.
std::string in_child(std::chrono::milliseconds patience,
                     const std::function<nlohmann::json()>& body) {
  auto child = props::Child::start([&](props::Channel& channel) {
    (void)channel.send(body().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  });
  if (!child) return nlohmann::json{{"broken", child.error()}}.dump();
  std::string message;
  const auto end = std::chrono::steady_clock::now() + patience;
  const auto status = child->channel().receive(message, end);
  if (status == props::Channel::Status::message) return message;
  child->end();
  // What takes the process down by itself is of the run.
  const bool by_itself =
      status == props::Channel::Status::closed && !child->killed() && !child->threw();
  const char* const what = by_itself ? "crash" : "broken";
  return nlohmann::json{{what, status == props::Channel::Status::timeout
                                   ? fmt::format("no answer after {} ms", patience.count())
                                   : child->how()}}
      .dump();
}

/// What it is called where it was told of by a fresh process.
Failure elsewhere(FailureKind kind, std::string_view text) {
  return {.kind = kind, .text = fmt::format("in a fresh process: {}", text)};
}

}  // namespace

tl::expected<FreshProcess, std::string> FreshProcess::start(OpenSystems open,
                                                            std::chrono::milliseconds patience) {
  auto child = props::Child::start([open = std::move(open), patience](props::Channel& channel) {
    const auto never = std::chrono::steady_clock::time_point::max();
    for (std::string message; channel.receive(message, never) == props::Channel::Status::message;) {
      const auto what = nlohmann::json::parse(message);
      if (!channel.send(in_child(patience, [&] { return run(open, what); }))) return;
    }
  });
  if (!child) return tl::unexpected(child.error());
  return FreshProcess(std::move(*child), patience);
}

schedule::Audit FreshProcess::compare(const schedule::System& system,
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
      child_.channel().receive(message, std::chrono::steady_clock::now() + 2 * patience_) !=
          props::Channel::Status::message) {
    return tl::unexpected(std::string("the fresh process does not answer"));
  }
  const auto told = nlohmann::json::parse(message);
  if (told.contains("broken")) {
    return tl::unexpected("a fresh process: " + told["broken"].get<std::string>());
  }
  if (told.contains("crash")) {
    return elsewhere(FailureKind::crash, told["crash"].get<std::string>());
  }
  // The end of a run is no step of it.
  if (told.contains("kind")) {
    const auto kind = static_cast<FailureKind>(told["kind"].get<unsigned>());
    const auto text = told["text"].get<std::string>();
    const bool same =
        outcome.failure && outcome.failure->kind == kind && outcome.failure->text == text;
    if (!same) return elsewhere(kind, text);
  } else if (outcome.failure) {
    return elsewhere(FailureKind::exception, "no " + std::string(name(outcome.failure->kind)));
  }
  if (told["fingerprint"].get<std::uint64_t>() == outcome.fingerprint) return std::nullopt;
  return elsewhere(FailureKind::exception, "the same order is another run");
}

OpenSystems open_audited(const std::filesystem::path& image, const std::string& engine) {
  return [image, engine]() -> tl::expected<OpenedSystems, std::string> {
    const auto open = open_hosted(image, engine);
    auto started = FreshProcess::start(open);
    if (!started) return tl::unexpected(started.error());
    const auto fresh = std::make_shared<FreshProcess>(*std::move(started));
    auto opened = open();
    if (!opened) return opened;
    opened->audit = [fresh](const auto& system, const auto& threads, const auto& outcome) {
      return fresh->compare(system, threads, outcome);
    };
    return opened;
  };
}

}  // namespace lockstep::jobs
