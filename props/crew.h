// SPDX-License-Identifier: GPL-2.0-or-later
/// The workers of a campaign, watched: started, listened to, buried, replaced.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "props/campaign.h"
#include "props/child.h"
#include "props/worker.h"

namespace lockstep::props {

/// A failure as a worker met it, or as its death tells.
struct Sighting {
  Finding finding;
  std::uint64_t index = 0;
  /// First case of the history; its members are `stride` apart.
  std::uint64_t fresh = 0;
  std::uint64_t stride = 1;
};

class Crew {
 public:
  /// `base` holds what the workers share; `first` and `stride` are set here.
  Crew(WorkerOrders base, unsigned workers, std::chrono::milliseconds case_deadline,
       std::function<void(const Sighting&)> sighted);
  ~Crew();

  /// Listen for up to `wait`. False once no worker is left.
  bool attend(std::chrono::milliseconds wait);
  /// Ask all workers to end after their case.
  void stop();

  /// Why an engine could not run; empty if all could.
  const std::string& broken() const { return broken_; }
  /// The engine whose own answer, or crash, that was; empty if it may be the machine's.
  const std::string& broken_engine() const { return broken_engine_; }
  /// Known once a worker has opened its engines.
  const CaseMaker* maker() const { return maker_ ? &*maker_ : nullptr; }
  const std::vector<Platform>& platforms() const { return platforms_; }
  std::uint64_t cases() const;
  std::uint64_t commands() const;
  /// See WorkerState::programs.
  std::uint64_t programs() const;
  /// Add what all workers, the dead ones included, have counted.
  void add_to(CampaignResult& result, std::map<std::string, std::uint64_t>& again) const;

 private:
  struct Member;
  void hire(Member& member, std::uint64_t first);
  void listen(Member& member);
  bool late(Member& member);
  void hear(Member& member, const std::string& message);
  void bury(Member& member, FindingKind kind);
  void retire(Member& member);

  WorkerOrders base_;
  std::chrono::milliseconds case_deadline_;
  std::function<void(const Sighting&)> sighted_;
  std::vector<std::unique_ptr<Member>> members_;
  std::string broken_;
  std::string broken_engine_;
  std::vector<Platform> platforms_;
  std::optional<CaseMaker> maker_;
  std::vector<nlohmann::json> past_;
  std::uint64_t past_cases_ = 0;
  std::uint64_t past_commands_ = 0;
  std::uint64_t past_programs_ = 0;
  unsigned deaths_ = 0;
  bool stopping_ = false;
};

}  // namespace lockstep::props
