// SPDX-License-Identifier: GPL-2.0-or-later
/// CPUs of a hosted kernel as fibers: what belongs to each, and what the kernel tells
/// of itself to whoever controls the schedule (spec/vocabulary/schedule_point.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "hw/hosted/boundary_schedule.h"
#include "hw/hosted/session.h"
#include "spec/vocabulary/schedule_point.h"

namespace lockstep::hw::hosted {

class Cpus {
 public:
  /// Of a session with a pool, whose image can be scheduled (hosted_image.scheduling).
  explicit Cpus(Session& session);
  Cpus(const Cpus&) = delete;
  Cpus& operator=(const Cpus&) = delete;
  ~Cpus();

  /// What belongs to the CPU that runs, of an image that can be scheduled.
  static std::span<std::byte> state(const Image& image);
  /// Give each CPU a state of its own: CPU 0 has that which runs, the others begin with
  /// `idle`. Once, before the snapshot is taken.
  Result<void> create(std::span<const std::byte> idle);
  /// A run begins: every CPU is as created, CPU 0 runs, and what the kernel does is told
  /// to `listener`, which outlives the run.
  void begin(lockstep::schedule::Listener& listener);
  /// From here on this one is told. Who was before.
  lockstep::schedule::Listener& tell_to(lockstep::schedule::Listener& listener) {
    return *std::exchange(listener_, &listener);
  }
  /// Nobody listens any more. CPU 0 runs.
  void end();

  /// The caller is this CPU from here on.
  void enter(unsigned cpu);
  /// Run callbacks that wait for a grace period, after one.
  void grace();

 private:
  using Tag = lockstep::schedule::Tag;
  using Listener = lockstep::schedule::Listener;
  /// What an address is called.
  struct Named {
    Tag tag{""};
    std::string text;
    const char* from = nullptr;  ///< the kernel's own name, of which text was made
  };

  template <typename Tell>
  void tell(Tell&& tell);
  bool again(const void* address, unsigned how);
  void switch_to(unsigned cpu);
  /// The kernel finds this CPU's memory here.
  void stands_at(unsigned cpu, const std::byte* memory);
  bool takes_interrupts(unsigned cpu) const;
  const Tag& lock_tag(const void* lock, const char* name);
  const Tag& access_tag(std::uint64_t address);
  std::string place(std::uint64_t address) const;
  void interrupt(unsigned cpu, void (*function)(void*), void* argument);

  Session* session_;
  const hosted_scheduling* scheduling_;
  hosted_schedule hooks_{};
  Listener* listener_ = nullptr;
  unsigned active_ = 0;
  bool in_interrupt_ = false;
  struct Last {
    const void* address = nullptr;
    unsigned times = 0;
  };
  std::array<Last, HOSTED_CPUS> last_;
  std::array<std::vector<std::byte>, HOSTED_CPUS> created_, saved_;
  Tag rcu_{"rcu"};
  std::array<Tag, HOSTED_CPUS> interrupts_;
  /// Of what each run finds at the same address, and of what this run has made.
  struct Names {
    std::unordered_map<std::uint64_t, Named> kept, made;
  };
  Named& named_at(Names& names, std::uint64_t address) const;
  /// What is waited for may have the address of a word that is read.
  Names locks_, accesses_;
  std::uint64_t first_frame_ = 0;
};

}  // namespace lockstep::hw::hosted
