// SPDX-License-Identifier: GPL-2.0-or-later
/// Stacks of their own, with a switch written by hand.
#pragma once

#include <cstddef>
#include <memory>

namespace lockstep::props::schedule {

/// A stack and where it stands. The one that the host's thread came with is
/// made by Fiber::host(). A fiber stays on the thread that made it.
class Fiber {
 public:
  /// `entry(argument)` begins at the first switch and must never return.
  Fiber(void (*entry)(void*), void* argument);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  /// What runs now, without a stack of ours.
  static std::unique_ptr<Fiber> host() { return std::unique_ptr<Fiber>(new Fiber); }

  /// Leave this fiber, which runs, for `other`, until somebody switches back.
  void switch_to(Fiber& other);

 private:
  Fiber() = default;
  [[noreturn]] static void begin(Fiber* self) noexcept;

  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  void* top_ = nullptr;           ///< stack pointer while it does not run
  void* mapping_ = nullptr;       ///< guard page and stack
  const void* bottom_ = nullptr;  ///< of the usable stack
  std::size_t size_ = 0;          ///< of the usable stack, bytes
  void* fake_stack_ = nullptr;    ///< AddressSanitizer's
  Fiber* came_from_ = nullptr;    ///< who switched here last
};

}  // namespace lockstep::props::schedule
