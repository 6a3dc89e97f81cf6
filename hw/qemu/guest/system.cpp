// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/guest/system.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "hw/kvm/fd.h"

namespace lockstep::hw::qemu::guest {
namespace {

tl::unexpected<std::string> failed(std::string_view what) {
  return tl::unexpected(fmt::format("{}: {}", what, std::strerror(errno)));
}

struct FileSystem {
  const char* type;
  const char* target;
  bool needed;
};

constexpr FileSystem file_systems[] = {
    {"devtmpfs", "/dev", true},
    {"proc", "/proc", true},
    {"sysfs", "/sys", true},
    {"debugfs", "/sys/kernel/debug", false},
    {"tracefs", "/sys/kernel/tracing", false},
};

struct Setting {
  const char* path;
  const char* value;
};

constexpr Setting settings[] = {
    // An oops under mmu_lock would leave everybody else waiting.
    {"/proc/sys/kernel/panic_on_oops", "1"},
    {"/proc/sys/kernel/printk", "8"},
    // Marks must never be dropped.
    {"/proc/sys/kernel/printk_devkmsg", "on"},
    {"/proc/sys/kernel/hung_task_timeout_secs", "30"},
};

}  // namespace

std::string slurp(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char bytes[4096];
  for (;;) {
    const ssize_t size = ::read(file.get(), bytes, sizeof bytes);
    if (size <= 0) return text;
    text.append(bytes, static_cast<std::size_t>(size));
  }
}

bool spill(const std::string& path, std::string_view text) {
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

void say(std::string_view line) { spill("/dev/kmsg", fmt::format("{}\n", line)); }

tl::expected<void, std::string> settle_in() {
  for (const auto& system : file_systems) {
    const bool mounted = ::mount(system.type, system.target, system.type, 0, nullptr) == 0;
    if (!mounted && errno != EBUSY && system.needed) return failed(system.target);
  }
  for (const auto& [path, value] : settings) {
    if (!spill(path, fmt::format("{}\n", value)))
      say(fmt::format("lockstep: {} does not take {}", path, value));
  }
  return {};
}

tl::expected<void, std::string> load_module(const LoadModule& module) {
  const long done = ::syscall(SYS_init_module, module.image.data(), module.image.size(),
                              module.parameters.c_str());
  if (done != 0 && errno != EEXIST) return failed("init_module " + module.name);
  return {};
}

tl::expected<void, std::string> unload_module(std::string name) {
  // Files are named with either, modules with one.
  std::ranges::replace(name, '-', '_');
  // What was closed last may give its reference back a little later.
  constexpr auto patience = std::chrono::seconds(5);
  const auto until = std::chrono::steady_clock::now() + patience;
  for (;;) {
    if (::syscall(SYS_delete_module, name.c_str(), O_NONBLOCK) == 0) return {};
    const bool in_use = errno == EWOULDBLOCK && std::chrono::steady_clock::now() < until;
    if (!in_use) return failed("delete_module " + name);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

tl::expected<int, std::string> open_port() {
  constexpr auto patience = std::chrono::seconds(20);
  constexpr const char* path = "/dev/vport0p1";
  const auto until = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const int port = ::open(path, O_RDWR | O_CLOEXEC);
    if (port >= 0) return port;
    if (std::chrono::steady_clock::now() > until) return failed(path);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

}  // namespace lockstep::hw::qemu::guest
