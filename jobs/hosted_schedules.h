// SPDX-License-Identifier: GPL-2.0-or-later
/// Hosted kernels as systems under controlled schedules: their CPUs are fibers.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "hw/hosted/engine.h"
#include "jobs/hosted_scenarios.h"
#include "jobs/open_systems.h"
#include "props/schedule/system.h"

namespace lockstep::jobs {

/// Systems of one image. One of them runs at a time, by one runner.
class HostedSystems {
 public:
  /// `engine` is how the image is called, "hosted:6.1". An error if the image cannot be
  /// scheduled.
  static tl::expected<std::unique_ptr<HostedSystems>, std::string> open(
      const std::filesystem::path& image, std::string engine);
  ~HostedSystems();
  HostedSystems(const HostedSystems&) = delete;
  HostedSystems& operator=(const HostedSystems&) = delete;

  /// One for each of hosted_scenarios(), as long as this lives.
  std::span<const props::schedule::System> systems() const { return systems_; }

 private:
  class Vm;
  class VmBody;
  HostedSystems();
  std::string name_;
  std::unique_ptr<Vm> vm_;
  std::vector<std::vector<props::schedule::Verb>> verbs_;
  std::vector<props::schedule::System> systems_;
};

/// HostedSystems::open(), of a process that runs them.
OpenSystems open_hosted(const std::filesystem::path& image, std::string engine);

/// The flavour of a hosted engine whose schedule is controlled, "hosted-asan+schedule:6.1",
/// by the name of any; none if it is no hosted engine's.
std::optional<std::string> scheduled_name(std::string_view engine);

}  // namespace lockstep::jobs
