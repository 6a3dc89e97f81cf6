// SPDX-License-Identifier: GPL-2.0-or-later
/// Faults of impl on one and on two vCPU threads: TDP MMU, gfns apart, each thread
/// on a processor of its own.
#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <barrier>
#include <optional>
#include <thread>

#include "bench/rows.h"
#include "impl/vcpu.h"
#include "impl/vm.h"

namespace lockstep::bench {
namespace {

constexpr std::uint64_t memory_size = 64ull << 20;
constexpr Gpa apart = 1ull << 30;

/// A VM with one slot for each thread, of pages that no huge leaf can map.
class World {
 public:
  explicit World(unsigned threads)
      : cells_(memory_size / 8),
        touched_(memory_size / page_size / 64),
        vm_(impl::HostMemory(std::as_writable_bytes(std::span(cells_)), touched_), arena_,
            {.tdp = true}) {
    for (unsigned i = 0; i < threads; ++i) {
      vcpus_.push_back(std::make_unique<impl::Vcpu>(vm_, impl::PagingRegisters{}, 0));
    }
  }
  static constexpr std::uint64_t pages = (memory_size - 0x1000) / page_size;

  bool add_slots() {
    for (unsigned i = 0; i < vcpus_.size(); ++i) {
      if (!vm_.set_memory_region(
              {.id = i, .gpa = (i + 1) * apart, .size = pages * page_size, .hva = 0x1000})) {
        return false;
      }
    }
    return true;
  }
  bool drop_slots() {
    for (unsigned i = 0; i < vcpus_.size(); ++i) {
      if (!vm_.set_memory_region({.id = i})) return false;
    }
    return true;
  }
  /// Faults until every page of the vCPU's slot is mapped; false if one is not fixed.
  bool fault(unsigned vcpu, std::uint64_t count) {
    impl::Vcpu& cpu = *vcpus_[vcpu];
    for (std::uint64_t page = 0; page < count; ++page) {
      if (!cpu.prepare_entry()) return false;
      const auto handled = cpu.tdp_fault((vcpu + 1) * apart + page * page_size, AccessKind::write);
      if (!std::holds_alternative<impl::Fixed>(handled)) return false;
    }
    return true;
  }

 private:
  std::vector<std::uint64_t> cells_;
  std::vector<std::uint64_t> touched_;
  impl::TableArena arena_{1ull << 28};
  impl::Vm vm_;
  std::vector<std::unique_ptr<impl::Vcpu>> vcpus_;
};

/// Processors that this process may use, at most two.
std::vector<int> processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> all;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return all;
  for (int cpu = 0; cpu < CPU_SETSIZE && all.size() < 2; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) all.push_back(cpu);
  }
  return all;
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/// Of the calling thread.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/// Faults a second, of all threads together: by the clock, and as if no other process
/// had taken the processors.
struct Throughput {
  double by_clock = 0;
  double by_cpu = 0;
};
std::optional<Throughput> throughput(const std::vector<int>& cpus, unsigned threads,
                                     std::uint64_t count, unsigned rounds) {
  World world(threads);
  std::barrier together(static_cast<std::ptrdiff_t>(threads));
  std::atomic<bool> sound = true;
  double seconds = 0;
  std::vector<double> cpu(threads);
  const auto work = [&](unsigned self) {
    pin(cpus[self]);
    for (unsigned round = 0; round < rounds; ++round) {
      if (self == 0 && !world.add_slots()) sound = false;
      together.arrive_and_wait();
      const auto start = Clock::now();
      const double before = cpu_seconds();
      if (!world.fault(self, count)) sound = false;
      cpu[self] += cpu_seconds() - before;
      together.arrive_and_wait();
      if (self != 0) continue;
      seconds += seconds_since(start);
      if (!world.drop_slots()) sound = false;
    }
  };
  std::vector<std::jthread> all;
  for (unsigned i = 0; i < threads; ++i) all.emplace_back(work, i);
  all.clear();
  if (!sound) return std::nullopt;
  const auto faults = static_cast<double>(threads * count * rounds);
  return Throughput{faults / seconds, faults / *std::ranges::max_element(cpu)};
}

}  // namespace

std::vector<Row> impl_threads(const Options& options) {
  Row row;
  row.name = "faults of impl, 1 to 2 threads";
  row.what = "faults a second on two threads over one; TDP MMU, gfns apart, pinned";
  row.goal = 1.8;
  const auto cpus = processors();
  if (cpus.size() < 2) {
    row.absent = "this process may use one processor only";
    return {row};
  }
  const std::uint64_t count = World::pages / options.scale;
  double best = 0;
  std::vector<double> by_cpu;
  row = repeat(std::move(row), options, [&]() -> tl::expected<double, std::string> {
    const auto one = throughput(cpus, 1, count, 4);
    const auto two = throughput(cpus, 2, count, 4);
    if (!one || !two) return tl::unexpected(std::string("a fault was not fixed"));
    best = std::max(best, one->by_clock);
    by_cpu.push_back(two->by_cpu / one->by_cpu);
    return two->by_clock / one->by_clock;
  });
  if (by_cpu.empty()) return {row};
  const Ratio cpu = summarize(by_cpu);
  row.note = fmt::format(
      "one thread: {:.2f} M faults/s; by the threads' CPU time, whatever else "
      "ran: {:.2f}, {:.2f}, {:.2f}",
      best / 1e6, cpu.min, cpu.median, cpu.max);
  return {row};
}

}  // namespace lockstep::bench
