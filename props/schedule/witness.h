// SPDX-License-Identifier: GPL-2.0-or-later
/// The run that goes on, written down where it outlives its process.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::props::schedule {

/// Steps that any run may be let to take: what Runner::limit() allows at most, and what is
/// written down. A walk of every entry of a kernel's root asks at each whether somebody wants
/// mmu_lock.
inline constexpr unsigned most_steps = 200'000;

/// For shared memory: one process writes while it runs schedules; another one reads what
/// the dead one, or one that does not come back, was doing.
class Witness {
 public:
  // Of the process that runs: Runner and SystemBody call these.

  void begin() {
    runs_.fetch_add(1, std::memory_order_relaxed);
    steps_.store(0, std::memory_order_relaxed);
    size_.store(0, std::memory_order_relaxed);
    running_.store(true, std::memory_order_release);
    turn_.fetch_add(1, std::memory_order_release);
  }
  /// What runs, as print(Saved) without turns. Of a text that is too long nothing is kept.
  void program(std::string_view text) {
    if (text.size() > text_.size()) return;
    std::ranges::copy(text, text_.begin());
    size_.store(static_cast<std::uint32_t>(text.size()), std::memory_order_release);
  }
  void chose(unsigned thread) {
    const auto at = steps_.load(std::memory_order_relaxed);
    if (at == order_.size()) return;
    order_[at] = static_cast<std::uint8_t>(thread);
    steps_.store(at + 1, std::memory_order_release);
  }
  void end() {
    running_.store(false, std::memory_order_release);
    turn_.fetch_add(1, std::memory_order_release);
  }

  // Of the process that watches.

  /// A run has begun and has not come back.
  bool running() const { return running_.load(std::memory_order_acquire); }
  std::uint64_t runs() const { return runs_.load(std::memory_order_relaxed); }
  /// Changes whenever a run begins or ends.
  std::uint64_t turn() const { return turn_.load(std::memory_order_acquire); }
  /// Of the last run; stands still only if its process does.
  std::string program() const {
    return {text_.data(), std::min<std::size_t>(size_.load(), text_.size())};
  }
  /// Who took each step of it: Outcome::order.
  std::vector<std::uint8_t> order() const {
    const auto steps = std::min<std::size_t>(steps_.load(std::memory_order_acquire), order_.size());
    return {order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(steps)};
  }

 private:
  std::atomic<bool> running_{false};
  std::atomic<std::uint64_t> runs_{0};
  std::atomic<std::uint64_t> turn_{0};
  std::atomic<std::uint32_t> steps_{0};
  std::atomic<std::uint32_t> size_{0};
  std::array<std::uint8_t, most_steps> order_{};
  std::array<char, 8192> text_{};
};

}  // namespace lockstep::props::schedule
