// SPDX-License-Identifier: GPL-2.0-or-later
/// The measurements behind the table, a file each.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <string>
#include <vector>

#include "bench/table.h"
#include "spec/program.h"

namespace lockstep::bench {

std::vector<Row> impl_against_hosted(const Options& options);
std::vector<Row> impl_threads(const Options& options);
std::vector<Row> side_by_side(const Options& options);
std::vector<Row> mapped_pages(const Options& options);
std::vector<Row> kvm_against_ioctl(const Options& options);
std::vector<Row> memory_of_pages(const Options& options);
std::vector<Row> schedules_of_models(const Options& options);
std::vector<Row> schedules_of_kernels(const Options& options);

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// User and system time of all children that have ended.
inline double cpu_seconds_of_children() {
  rusage usage = {};
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

inline Step step_of(Command command) { return {std::move(command), std::nullopt, {}, {}}; }

}  // namespace lockstep::bench
