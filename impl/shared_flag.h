// SPDX-License-Identifier: GPL-2.0-or-later
/// Flags that one thread changes and others read without a lock.
#pragma once

#include <atomic>

namespace lockstep::impl {

/// A bool with the order of a lock's release and acquire.
class SharedFlag {
 public:
  SharedFlag(bool on = false) : on_(on) {}
  operator bool() const { return std::atomic_ref(on_).load(std::memory_order_acquire); }
  SharedFlag& operator=(bool on) {
    std::atomic_ref(on_).store(on, std::memory_order_release);
    return *this;
  }

 private:
  mutable bool on_;
};

}  // namespace lockstep::impl
