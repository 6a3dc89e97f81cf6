// SPDX-License-Identifier: GPL-2.0-or-later
/// An engine in a child process that tells its parent what it counts: KVM's own
/// statistics.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "props/child.h"
#include "spec/engine.h"

namespace lockstep::jobs::review {

/// Shared by parent and child; of one engine.
class Probe {
 public:
  /// The engine's platform, once a child has opened it.
  std::atomic<bool> opened{false};
  std::atomic<std::uint64_t> features{0};
  std::atomic<unsigned> max_vcpus{0};
  std::atomic<unsigned> max_maxphyaddr{0};

  /// Counters of the last program that went to its end, by name.
  std::map<std::string, std::uint64_t> counters() const;
  void set_counters(const std::map<std::string, std::uint64_t>& counters);

 private:
  static constexpr std::size_t most = 160;
  struct Counter {
    std::array<char, 48> name{};
    std::uint64_t value = 0;
  };
  std::atomic<std::size_t> count_{0};
  std::array<Counter, most> table_{};
};

/// The engine, telling `probe`; the probe outlives it.
std::unique_ptr<Engine> probed(std::unique_ptr<Engine> engine, Probe& probe);

}  // namespace lockstep::jobs::review
