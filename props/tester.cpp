// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/tester.h"

#include <fmt/format.h>
#include <utility>

#include "props/boot_allowance.h"
#include "props/death.h"
#include "props/open_engines.h"
#include "props/wire.h"

namespace lockstep::props {
namespace {

/// The child: one program a message, one outcome an answer.
void serve(Channel& channel, const TesterSetup& setup, Position* position) {
  auto opened = open_engines(setup.engines, setup.factory, setup.seed);
  if (!opened) {
    Outcome outcome;
    outcome.verdict = Verdict::no_verdict;
    outcome.reason = opened.error().message;
    outcome.broken = opened.error().message;
    std::string request;
    channel.receive(request, std::chrono::steady_clock::now() + setup.deadline);
    channel.send(text_of(to_wire(outcome)));
    return;
  }
  Lockstep lockstep(std::move(*opened), setup.models);
  for (;;) {
    std::string request;
    const auto forever = std::chrono::steady_clock::now() + std::chrono::hours(1);
    if (channel.receive(request, forever) != Channel::Status::message) return;
    RunOptions options;
    options.fresh = request.front() == 'f';
    options.position = position;
    options.watch = setup.watch;
    Outcome outcome;
    if (const auto program = parse(std::string_view(request).substr(1))) {
      outcome = lockstep.run(*program, options);
    } else {
      outcome.verdict = Verdict::input_error;
      outcome.reason = program.error().message("program", std::string_view(request).substr(1));
    }
    std::fflush(stdout);
    if (!channel.send(text_of(to_wire(outcome)))) return;
    // A broken engine must not be used again; the parent starts a new child.
    if (!outcome.broken.empty()) return;
  }
}

}  // namespace

bool Tester::start(Outcome& outcome) {
  if (child_) return true;
  if (!position_) {
    outcome.verdict = Verdict::no_verdict;
    outcome.reason = "no shared memory";
    return false;
  }
  auto child = Child::start([this](Channel& channel) { serve(channel, setup_, position_.get()); });
  if (!child) {
    outcome.verdict = Verdict::no_verdict;
    outcome.reason = child.error();
    return false;
  }
  child_.emplace(std::move(*child));
  return true;
}

Outcome Tester::run(const Program& program) { return run(std::span<const Program>(&program, 1)); }

Outcome Tester::run(std::span<const Program> programs) {
  Outcome outcome;
  ran_ = 0;
  for (const auto& program : programs) {
    outcome = {};
    if (!start(outcome)) return outcome;
    ++ran_;
    auto request = print(program);
    request.insert(request.begin(), ran_ == 1 ? 'f' : 'r');
    child_->channel().send(request);
    std::string answer;
    const auto deadline =
        std::chrono::steady_clock::now() + setup_.deadline + boot_allowance(setup_.engines);
    const auto status = child_->channel().receive(answer, deadline);
    std::optional<Outcome> told;
    if (status == Channel::Status::message) {
      told = read_outcome(answer);
    }
    if (told) {
      outcome = *std::move(told);
      if (!outcome.broken.empty()) child_.reset();
    } else {
      const bool hung = status == Channel::Status::timeout;
      child_->end();
      const auto how = status == Channel::Status::message ? "gave an answer that is none"
                       : hung                             ? "hung"
                                                          : child_->how();
      outcome.verdict = Verdict::fail;
      outcome.finding = death(hung ? FindingKind::hang : FindingKind::crash, *position_.get(),
                              setup_.engines, program, how, child_->last_words());
      child_.reset();
    }
    const bool skipped = outcome.verdict == Verdict::no_verdict && !outcome.skips.empty();
    if (outcome.verdict != Verdict::pass && !skipped) return outcome;
  }
  return outcome;
}

}  // namespace lockstep::props
