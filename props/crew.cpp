// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/crew.h"

#include <fmt/format.h>
#include <poll.h>
#include <utility>

#include "props/boot_allowance.h"
#include "props/death.h"
#include "props/wire.h"
#include "props/worker_tally.h"

namespace lockstep::props {
namespace {

using Clock = std::chrono::steady_clock;

/// Opening /dev/kvm and probing it takes its time on a loaded machine.
constexpr std::chrono::seconds open_deadline{30};
/// A loaded machine lets a worker wait: a case is hung once it has used its time
/// on a processor, or has slept for so many times as long.
constexpr int patience = 8;
/// A run in which workers die this often has told what it can.
constexpr unsigned most_deaths = 64;

}  // namespace

struct Crew::Member {
  SharedObject<WorkerState> state;
  std::optional<Child> child;
  Clock::time_point hired;
  bool open = false;
  bool bye = false;
  nlohmann::json tally;
  std::uint64_t watched = ~0ull;  ///< case that ran when its processor time was read
  std::chrono::nanoseconds spent_before{};
};

Crew::Crew(WorkerOrders base, unsigned workers, std::chrono::milliseconds case_deadline,
           std::function<void(const Sighting&)> sighted)
    : base_(std::move(base)), case_deadline_(case_deadline), sighted_(std::move(sighted)) {
  base_.stride = workers;
  for (unsigned i = 0; i < workers; ++i) {
    members_.push_back(std::make_unique<Member>());
    hire(*members_.back(), i);
  }
}

Crew::~Crew() = default;

void Crew::hire(Member& member, std::uint64_t first) {
  member.state = SharedObject<WorkerState>();
  member.open = member.bye = false;
  member.tally = nullptr;
  member.hired = Clock::now();
  if (!member.state) {
    broken_ = "no shared memory";
    return;
  }
  auto orders = base_;
  orders.first = first;
  auto* state = member.state.get();
  auto child = Child::start([state, orders](Channel& channel) { work(channel, *state, orders); });
  if (!child) {
    broken_ = child.error();
    return;
  }
  member.child.emplace(std::move(*child));
}

void Crew::stop() {
  stopping_ = true;
  for (const auto& member : members_) {
    if (member->state) member->state->stop.store(true);
  }
}

std::uint64_t Crew::cases() const {
  auto sum = past_cases_;
  for (const auto& member : members_) {
    if (member->child) sum += member->state->cases.load(std::memory_order_relaxed);
  }
  return sum;
}

std::uint64_t Crew::programs() const {
  auto sum = past_programs_;
  for (const auto& member : members_) {
    if (member->child) sum += member->state->programs.load(std::memory_order_relaxed);
  }
  return sum;
}

std::uint64_t Crew::commands() const {
  auto sum = past_commands_;
  for (const auto& member : members_) {
    if (member->child) sum += member->state->commands.load(std::memory_order_relaxed);
  }
  return sum;
}

void Crew::add_to(CampaignResult& result, std::map<std::string, std::uint64_t>& again) const {
  for (const auto& tally : past_) add_tally(tally, result, again);
  for (const auto& member : members_) {
    if (member->child && !member->tally.is_null()) add_tally(member->tally, result, again);
  }
}

void Crew::retire(Member& member) {
  if (!member.tally.is_null()) past_.push_back(std::move(member.tally));
  member.tally = nullptr;
  past_cases_ += member.state->cases.load();
  past_commands_ += member.state->commands.load();
  past_programs_ += member.state->programs.load();
  member.child.reset();
}

void Crew::hear(Member& member, const std::string& message) {
  auto wire = nlohmann::json::parse(message, nullptr, false);
  if (wire.is_discarded()) return;
  if (wire.contains("broken")) {
    broken_ = wire.at("broken").get<std::string>();
    broken_engine_ = wire.value("engine", "");
    member.bye = true;
  } else if (wire.contains("platforms")) {
    member.open = true;
    if (maker_) return;
    for (const auto& platform : wire.at("platforms")) {
      platforms_.push_back(platform_from(platform));
    }
    maker_.emplace(base_.engines, platforms_, base_.seed, base_.cases);
  } else if (wire.contains("finding")) {
    sighted_({finding_from(wire.at("finding")), wire.at("index").get<std::uint64_t>(),
              wire.at("fresh").get<std::uint64_t>(), base_.stride});
  } else if (wire.contains("tally")) {
    member.tally = std::move(wire.at("tally"));
  } else if (wire.contains("bye")) {
    member.bye = true;
  }
}

void Crew::bury(Member& member, FindingKind kind) {
  member.child->end();
  const auto index = member.state->index.load();
  const auto how = kind == FindingKind::hang ? std::string("hung") : member.child->how();
  if (!member.open || !maker_) {
    broken_ = fmt::format("an engine's process {} while it opened: {}",
                          kind == FindingKind::hang ? "hung" : "died by " + how,
                          member.child->last_words());
    // A hang may be the machine's, and so may what kills from outside.
    const auto opening = member.state->opening.load();
    if (kind == FindingKind::crash && member.child->crashed() && opening < base_.engines.size()) {
      broken_engine_ = base_.engines[opening];
    }
    retire(member);
    return;
  }
  if (kind == FindingKind::crash && member.child->killed()) {
    broken_ = fmt::format("a worker was ended from outside by {}: out of memory?", how);
    retire(member);
    return;
  }
  const auto program = maker_->make(index).program;
  const Sighting sighting{
      death(kind, member.state->position, base_.engines, program, how, member.child->last_words()),
      index, member.state->fresh.load(), base_.stride};
  retire(member);
  sighted_(sighting);
  if (++deaths_ >= most_deaths) stop();
  if (stopping_ || Clock::now() >= base_.until || index + base_.stride >= base_.last) return;
  hire(member, index + base_.stride);
}

void Crew::listen(Member& member) {
  std::string message;
  for (;;) {
    switch (member.child->channel().receive(message, Clock::now())) {
      case Channel::Status::message:
        hear(member, message);
        continue;
      case Channel::Status::closed:
        if (member.bye) {
          retire(member);
        } else {
          bury(member, FindingKind::crash);
        }
        return;
      case Channel::Status::timeout:
        break;
    }
    break;
  }
  const auto now = Clock::now();
  if (member.open ? late(member)
                  : now - member.hired > open_deadline + boot_allowance(base_.engines)) {
    bury(member, FindingKind::hang);
  }
}

bool Crew::late(Member& member) {
  const auto started = member.state->started.load();
  const auto index = member.state->index.load();
  if (started == 0) return false;
  const auto spent = member.child->processor_time();
  if (member.watched != index) {
    member.watched = index;
    member.spent_before = spent;
  }
  const auto waited = Clock::now().time_since_epoch() - std::chrono::nanoseconds(started);
  const auto booting = boot_allowance(base_.engines);
  return waited > case_deadline_ && (spent - member.spent_before > case_deadline_ ||
                                     waited > case_deadline_ * patience + booting);
}

bool Crew::attend(std::chrono::milliseconds wait) {
  std::vector<pollfd> fds;
  for (const auto& member : members_) {
    if (member->child) fds.push_back({member->child->channel().descriptor(), POLLIN, 0});
  }
  if (fds.empty()) return false;
  poll(fds.data(), fds.size(), static_cast<int>(wait.count()));
  bool left = false;
  for (const auto& member : members_) {
    if (member->child) listen(*member);
    left = left || member->child.has_value();
  }
  // An engine that cannot run makes every further case worthless.
  if (!broken_.empty() && !stopping_) stop();
  return left;
}

}  // namespace lockstep::props
