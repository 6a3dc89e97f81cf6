// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/guest/tracepoints.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <system_error>

#include "hw/qemu/guest/system.h"

namespace lockstep::hw::qemu::guest {
namespace fs = std::filesystem;
namespace {

constexpr const char* tracing = "/sys/kernel/tracing";

std::string instance(const std::string& event) {
  return fmt::format("{}/instances/{}", tracing, event);
}

/// The number behind "KEY: " in one CPU's statistics.
std::uint64_t statistic(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    auto line = take_line(text);
    if (!line.starts_with(key)) continue;
    line.remove_prefix(key.size());
    std::uint64_t number = 0;
    std::from_chars(line.data(), line.data() + line.size(), number);
    return number;
  }
  return 0;
}

}  // namespace

void Tracepoints::enable() {
  disable();
  std::error_code error;
  for (const auto& entry :
       fs::directory_iterator(fmt::format("{}/events/kvmmmu", tracing), error)) {
    if (!entry.is_directory(error)) continue;
    const auto event = entry.path().filename().string();
    constexpr mode_t mode = 0700;
    if (::mkdir(instance(event).c_str(), mode) != 0) continue;
    spill(instance(event) + "/buffer_size_kb", "1");
    if (spill(fmt::format("{}/events/kvmmmu/{}/enable", instance(event), event), "1")) {
      events_.push_back(event);
    }
  }
}

void Tracepoints::disable() {
  for (const auto& event : events_) ::rmdir(instance(event).c_str());
  events_.clear();
}

Counts Tracepoints::counts() const {
  Counts counts;
  std::error_code error;
  for (const auto& event : events_) {
    std::uint64_t count = 0;
    for (const auto& cpu : fs::directory_iterator(instance(event) + "/per_cpu", error)) {
      const auto text = slurp(cpu.path().string() + "/stats");
      count += statistic(text, "entries: ") + statistic(text, "overrun: ");
    }
    if (count != 0) counts["kvmmmu:" + event] = count;
  }
  return counts;
}

}  // namespace lockstep::hw::qemu::guest
