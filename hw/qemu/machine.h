// SPDX-License-Identifier: GPL-2.0-or-later
/// One QEMU process: a kernel that booted, its agent on a virtio port, its console.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "hw/kvm/fd.h"
#include "hw/qemu/frames.h"
#include "hw/qemu/messages.h"

namespace lockstep::hw::qemu {

struct MachineOptions {
  std::filesystem::path image;
  std::filesystem::path initramfs;
  unsigned memory_mib = 512;
  /// More than one CPU under TCG hangs QEMU 7.2 now and then.
  unsigned cpus = 1;
  std::chrono::seconds boot_patience{120};
};

/// Program and arguments of QEMU. The agent's port is file descriptor `port`, the
/// console is standard output.
std::vector<std::string> qemu_words(const MachineOptions& options, int port);

/// Why QEMU cannot run here, with the way out; empty if it can.
std::string lacks_qemu();

class Machine {
 public:
  struct Failure {
    enum class Kind : std::uint8_t {
      refused,  ///< the guest answered with an error
      died,     ///< QEMU ended: the kernel panicked, or somebody killed it
      hung      ///< no answer in time
    };
    Kind kind = Kind::refused;
    std::string message;
  };
  template <typename T>
  using Asked = tl::expected<T, Failure>;

  /// Start QEMU, within bubblewrap where that works, and wait until the agent is there.
  static Asked<std::unique_ptr<Machine>> boot(const MachineOptions& options);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  /// Ends the process.
  ~Machine();

  Asked<std::string> ask(const Request& request, std::chrono::seconds patience);

  /// Everything that the kernel says before this reaches the console before it returns.
  Asked<void> flush_console();
  /// Take what the console has said by now.
  void listen();
  /// Since the boot.
  const std::string& console() const { return console_; }

  std::chrono::duration<double> boot_time() const { return boot_time_; }
  bool sandboxed() const { return sandboxed_; }

 private:
  Machine(pid_t pid, Fd port, Fd console, Fd words, bool sandboxed);
  static tl::expected<std::unique_ptr<Machine>, std::string> start(const MachineOptions& options);
  /// Wait for the port or the console. False once the time is over.
  bool wait(FrameStream::Deadline deadline);
  Asked<void> wait_for_line(std::string_view line, std::size_t from,
                            FrameStream::Deadline deadline);
  Failure gone();
  void end();

  pid_t pid_;
  FrameStream port_;
  Fd console_end_;
  Fd words_;  ///< what QEMU itself said
  bool sandboxed_;
  std::string console_;
  unsigned marks_ = 0;
  std::chrono::duration<double> boot_time_{};
};

}  // namespace lockstep::hw::qemu
