// SPDX-License-Identifier: GPL-2.0-or-later
/// Everything that a hosted kernel can write to, kept once and put back often: a run
/// under a schedule begins where the last one did.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "hw/hosted/session.h"

namespace lockstep::hw::hosted {

class Snapshot {
 public:
  /// Of a session with a pool; no thread is in the image. The session outlives it.
  explicit Snapshot(Session& session);
  /// The image, its objects, its pages and user memory are what they were.
  Result<void> restore();
  /// Restored for the last time: memory is the session's own again.
  Result<void> release();
  /// What restore() copies.
  std::uint64_t bytes() const;

 private:
  struct Part {
    std::span<std::byte> at;
    std::vector<std::byte> contents;
  };
  void keep(std::span<std::byte> at);

  Session* session_;
  std::vector<Part> parts_;
  Arena::Saved arena_;
  std::vector<std::uint8_t> told_;
};

}  // namespace lockstep::hw::hosted
