// SPDX-License-Identifier: GPL-2.0-or-later
/// Whole messages over a byte stream: a socket on the host, the port of a virtio
/// console in the guest.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "hw/kvm/fd.h"

namespace lockstep::hw::qemu {

/// A message is its size in four bytes, the least significant first, and its bytes.
class FrameStream {
 public:
  /// Larger messages are refused on both sides.
  static constexpr std::size_t most_bytes = 64u << 20;

  enum class Status { message, closed, timeout };
  using Deadline = std::chrono::steady_clock::time_point;

  FrameStream() = default;
  explicit FrameStream(Fd stream);

  Status send(std::string_view message, Deadline deadline);
  /// Wait until a whole message is there; a part that came before the deadline
  /// is kept.
  Status receive(std::string& message, Deadline deadline);

  int descriptor() const { return stream_.get(); }

 private:
  Fd stream_;
  bool is_socket_ = false;
  std::string buffer_;
};

}  // namespace lockstep::hw::qemu
