// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/probe.h"

#include <algorithm>
#include <cstring>

namespace lockstep::jobs::review {
namespace {

class ProbedEngine final : public Engine {
 public:
  ProbedEngine(std::unique_ptr<Engine> engine, Probe& probe)
      : engine_(std::move(engine)), probe_(probe) {
    const auto& platform = engine_->platform();
    probe_.features = platform.features.to_ullong();
    probe_.max_vcpus = platform.max_vcpus;
    probe_.max_maxphyaddr = platform.max_maxphyaddr;
    probe_.opened = true;
    before_ = engine_->reached();
  }

  std::string_view name() const override { return engine_->name(); }
  const Platform& platform() const override { return engine_->platform(); }

  Result<void> begin(const Configuration& configuration, bool fresh) override {
    return engine_->begin(configuration, fresh);
  }

  Result<Observation> execute(const Command& command) override { return engine_->execute(command); }

  Result<Observation> end() override {
    auto ended = engine_->end();
    const auto now = engine_->reached();
    auto moved = now;
    for (auto& [name, value] : moved) {
      const auto was = before_.find(name);
      if (was != before_.end()) value -= was->second;
    }
    before_ = now;
    probe_.set_counters(moved);
    return ended;
  }

  const std::map<std::string, std::uint64_t>& reached() const override {
    return engine_->reached();
  }

 private:
  std::unique_ptr<Engine> engine_;
  Probe& probe_;
  std::map<std::string, std::uint64_t> before_;
};

}  // namespace

std::map<std::string, std::uint64_t> Probe::counters() const {
  std::map<std::string, std::uint64_t> all;
  const auto count = std::min(count_.load(), most);
  for (std::size_t i = 0; i < count; ++i) all[table_[i].name.data()] = table_[i].value;
  return all;
}

void Probe::set_counters(const std::map<std::string, std::uint64_t>& counters) {
  std::size_t used = 0;
  for (const auto& [name, value] : counters) {
    if (used == most) break;
    auto& counter = table_[used++];
    counter.name = {};
    std::memcpy(counter.name.data(), name.data(), std::min(name.size(), counter.name.size() - 1));
    counter.value = value;
  }
  count_ = used;
}

std::unique_ptr<Engine> probed(std::unique_ptr<Engine> engine, Probe& probe) {
  return std::make_unique<ProbedEngine>(std::move(engine), probe);
}

}  // namespace lockstep::jobs::review
