// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/worker.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "props/canary.h"
#include "props/draw.h"
#include "props/generator_parallel.h"
#include "props/open_engines.h"
#include "props/wire.h"
#include "props/worker_tally.h"

namespace lockstep::props {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds tally_period{200};

/// Engines whose commands cost no system call.
bool is_quick(const std::string& engine) {
  return engine == "spec" || engine == "impl" || engine.starts_with("hosted");
}

std::uint64_t quick_engines(const std::vector<std::string>& engines) {
  std::uint64_t mask = 0;
  bool real = false;
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (!is_quick(engines[i])) continue;
    mask |= 1ull << i;
    real = real || engines[i] != "spec";
  }
  return real ? mask : 0;
}

/// Runs cases until told to stop.
class Worker {
 public:
  Worker(Channel& channel, WorkerState& state, const WorkerOrders& orders,
         std::vector<std::unique_ptr<Engine>> engines, std::vector<CanaryEngine*> canaries,
         CaseMaker maker)
      : channel_(channel),
        state_(state),
        orders_(orders),
        canaries_(std::move(canaries)),
        maker_(std::move(maker)),
        tally_(engines.size()),
        lockstep_(std::move(engines), orders.models) {}

  void run() {
    auto flush = Clock::now() + tally_period;
    unsigned since_fresh = orders_.fresh_every;
    for (auto index = orders_.first; index < orders_.last; index += orders_.stride) {
      if (index < skip_until_) continue;
      const auto now = Clock::now();
      if (now >= orders_.until || state_.stop.load(std::memory_order_relaxed)) break;
      if (now >= flush) {
        send_tally();
        flush = now + tally_period;
      }
      RunOptions options;
      options.fresh = since_fresh >= orders_.fresh_every;
      if (options.fresh) since_fresh = 0;
      ++since_fresh;
      if (!one(index, options, now)) break;
      // What a failure leaves behind must not touch the next case.
      if (failed_) since_fresh = orders_.fresh_every;
      if (orders_.cases == Cases::every_allocation && !some_allocation_failed()) {
        skip_until_ = CaseMaker::next_program(index);
        // Workers share the allocations of each program; one counts it.
        if (orders_.first % orders_.stride == 0) {
          state_.programs.fetch_add(1, std::memory_order_relaxed);
        }
      }
    }
    state_.started.store(0);
    send_tally();
  }

 private:
  /// False if the worker cannot go on.
  bool one(std::uint64_t index, RunOptions options, Clock::time_point now) {
    if (options.fresh) state_.fresh.store(index);
    state_.index.store(index);
    state_.started.store(now.time_since_epoch().count());
    state_.position.step.store(0, std::memory_order_relaxed);
    options.position = &state_.position;
    const auto made = maker_.make(index);
    if (orders_.wanted && !orders_.canary && !orders_.wanted(made.program)) return true;
    const auto outcome = lockstep_.run(made.program, options, made.mask);
    state_.cases.fetch_add(1, std::memory_order_relaxed);
    state_.commands.fetch_add(tally_.add(outcome, lockstep_), std::memory_order_relaxed);
    failed_ = outcome.finding.has_value();
    if (outcome.finding) return tell(index, *outcome.finding);
    if (!outcome.broken.empty()) {
      channel_.send(text_of({{"broken", outcome.reason}, {"engine", outcome.broken}}));
      return false;
    }
    return true;
  }

  /// Whether the allocation that the case named was reached.
  bool some_allocation_failed() {
    std::uint64_t failed = 0;
    for (std::size_t i = 0; i < lockstep_.size(); ++i) {
      const auto& reached = lockstep_.engine(i).reached();
      if (const auto found = reached.find("allocation failed"); found != reached.end()) {
        failed += found->second;
      }
    }
    return std::exchange(allocations_failed_, failed) != failed;
  }

  bool tell(std::uint64_t index, const Finding& finding) {
    bool lie = false;
    for (const auto* canary : canaries_) lie = lie || canary->lied();
    if (orders_.canary && !lie) return true;
    const bool unseen = seen_.insert(finding.key()).second;
    if (unseen) {
      if (!channel_.send(text_of(
              {{"finding", to_wire(finding)}, {"index", index}, {"fresh", state_.fresh.load()}}))) {
        return false;
      }
    } else {
      tally_.seen_again(finding.key());
    }
    return !orders_.canary;
  }

  void send_tally() { channel_.send(text_of({{"tally", tally_.to_wire(lockstep_)}})); }

  Channel& channel_;
  WorkerState& state_;
  const WorkerOrders& orders_;
  std::vector<CanaryEngine*> canaries_;
  CaseMaker maker_;
  WorkerTally tally_;
  Lockstep lockstep_;
  std::set<std::string> seen_;
  bool failed_ = false;
  std::uint64_t skip_until_ = 0;
  std::uint64_t allocations_failed_ = 0;
};

}  // namespace

CaseMaker::CaseMaker(std::vector<std::string> engines, std::span<const Platform> platforms,
                     std::uint64_t seed, Cases cases)
    : seed_(seed), cases_(cases), quick_mask_(quick_engines(engines)) {
  // The model can do everything: what only it can do compares with nothing.
  std::vector<Platform> all, quick;
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (engines[i] == "spec" && engines.size() > 1) continue;
    all.push_back(platforms[i]);
    if ((quick_mask_ >> i) & 1u) quick.push_back(platforms[i]);
  }
  all_ = generator_options(all);
  if (quick.size() == all.size()) quick_mask_ = 0;
  if (quick_mask_ != 0) quick_ = generator_options(quick);
}

std::uint64_t CaseMaker::mask(std::uint64_t index) const {
  if (cases_ == Cases::every_allocation) return ~0ull;
  // One case in four on every engine: the quick ones cost little time beside.
  std::uint64_t state = seed_ ^ (index << 1);
  return quick_mask_ == 0 || splitmix(state) % 4 == 0 ? ~0ull : quick_mask_;
}

Case CaseMaker::make(std::uint64_t index) const {
  if (cases_ == Cases::every_allocation) {
    // Far apart, so that programs in a row differ in shape and host parameters.
    constexpr std::uint64_t apart = 1'009;
    Case made{generate(all_, seed_, index / allocations * apart), ~0ull};
    made.program.configuration.host.fail_allocation = index % allocations;
    return made;
  }
  const auto engines = mask(index);
  if (cases_ == Cases::parallel) {
    return {generate_parallel(engines == ~0ull ? all_ : quick_, seed_, index), engines};
  }
  return {generate(engines == ~0ull ? all_ : quick_, seed_, index), engines};
}

void work(Channel& channel, WorkerState& state, const WorkerOrders& orders) {
  const auto factory = [&](std::string_view name, std::uint64_t seed) {
    const auto at = std::ranges::find(orders.engines, name) - orders.engines.begin();
    state.opening.store(static_cast<std::uint32_t>(at));
    return orders.factory(name, seed);
  };
  auto opened = open_engines(orders.engines, factory, orders.seed);
  if (!opened) {
    channel.send(text_of(
        {{"broken", opened.error().message}, {"engine", orders.engines[state.opening.load()]}}));
    return;
  }
  std::vector<Platform> platforms;
  auto wire = nlohmann::json::array();
  std::vector<CanaryEngine*> canaries;
  for (auto& engine : *opened) {
    platforms.push_back(engine->platform());
    wire.push_back(to_wire(engine->platform()));
    if (!orders.canary) continue;
    auto canary = std::make_unique<CanaryEngine>(std::move(engine));
    canaries.push_back(canary.get());
    engine = std::move(canary);
  }
  channel.send(text_of({{"platforms", std::move(wire)}}));
  CaseMaker maker(orders.engines, platforms, orders.seed, orders.cases);
  Worker(channel, state, orders, std::move(*opened), std::move(canaries), std::move(maker)).run();
  channel.send(text_of({{"bye", true}}));
}

}  // namespace lockstep::props
