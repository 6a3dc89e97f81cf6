// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/worker_tally.h"

namespace lockstep::props {

using nlohmann::json;

std::uint64_t WorkerTally::add(const Outcome& outcome, const Lockstep& lockstep) {
  ++cases_;
  std::uint64_t commands = 0;
  bool comparable = false;
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    if (((outcome.ran >> i) & 1u) == 0) continue;
    ++engines_[i].cases;
    engines_[i].commands += outcome.commands;
    commands += outcome.commands;
    // The model judging its own answers compares nothing.
    comparable = comparable || lockstep.name(i) != "spec";
  }
  for (const auto& skip : outcome.skips) {
    for (std::size_t i = 0; i < engines_.size(); ++i) {
      if (lockstep.name(i) == skip.engine) ++engines_[i].skipped[skip.reason];
    }
  }
  if (outcome.undecided) {
    if (undecided_++ == 0) first_undecided_ = outcome.reason;
  } else if (!comparable && outcome.broken.empty()) {
    if (discards_++ == 0) {
      first_discard_ = outcome.reason.empty() ? "no engine could run it" : outcome.reason;
    }
  }
  return commands;
}

json WorkerTally::to_wire(const Lockstep& lockstep) const {
  json engines = json::array();
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    json loosenesses = json::object();
    const auto& used = lockstep.looseness(i);
    for (unsigned k = 0; k < spec::looseness_count; ++k) {
      if (used[k] != 0) {
        loosenesses[std::string(name(static_cast<spec::Looseness>(k)))] = used[k];
      }
    }
    engines.push_back({{"commands", engines_[i].commands},
                       {"cases", engines_[i].cases},
                       {"skipped", engines_[i].skipped},
                       {"reached", lockstep.reached(i)},
                       {"loosenesses", std::move(loosenesses)}});
  }
  return {{"engines", std::move(engines)},
          {"cases", cases_},
          {"discards", discards_},
          {"undecided", undecided_},
          {"first_discard", first_discard_},
          {"first_undecided", first_undecided_},
          {"again", again_}};
}

namespace {

using Counts = std::map<std::string, std::uint64_t>;

void add_counts(const json& wire, Counts& sum) {
  for (const auto& [key, count] : wire.get<Counts>()) sum[key] += count;
}

}  // namespace

void add_tally(const json& wire, CampaignResult& result, Counts& again) {
  const auto& engines = wire.at("engines");
  for (std::size_t i = 0; i < engines.size() && i < result.engines.size(); ++i) {
    auto& tally = result.engines[i];
    tally.commands += engines[i].at("commands").get<std::uint64_t>();
    tally.cases += engines[i].at("cases").get<std::uint64_t>();
    add_counts(engines[i].at("skipped"), tally.skipped);
    add_counts(engines[i].at("reached"), tally.reached);
    add_counts(engines[i].at("loosenesses"), tally.loosenesses);
  }
  result.cases += wire.at("cases").get<std::uint64_t>();
  result.discards += wire.at("discards").get<std::uint64_t>();
  result.undecided += wire.at("undecided").get<std::uint64_t>();
  if (result.first_discard.empty()) {
    result.first_discard = wire.at("first_discard").get<std::string>();
  }
  if (result.first_undecided.empty()) {
    result.first_undecided = wire.at("first_undecided").get<std::string>();
  }
  add_counts(wire.at("again"), again);
}

}  // namespace lockstep::props
