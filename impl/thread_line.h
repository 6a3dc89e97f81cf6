// SPDX-License-Identifier: GPL-2.0-or-later
/// Cache lines that threads do not share: what every fault writes stands in as
/// many copies as threads rarely exceed.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace lockstep::impl {

inline constexpr std::size_t thread_lines = 8;

namespace detail {
inline std::atomic<std::size_t> next_thread_line = 0;
}
/// Which copy is this thread's; the same one for its whole life.
inline std::size_t thread_line() {
  thread_local const std::size_t mine =
      detail::next_thread_line.fetch_add(1, std::memory_order_relaxed) % thread_lines;
  return mine;
}

/// A T for each line. Any thread may look at all of them.
template <typename T>
class PerThread {
 public:
  T& mine() { return lines_[thread_line()].value; }
  const T& mine() const { return lines_[thread_line()].value; }
  /// Call visit(value) for each.
  template <typename Visit>
  void each(Visit&& visit) {
    for (Line& line : lines_) visit(line.value);
  }
  template <typename Visit>
  void each(Visit&& visit) const {
    for (const Line& line : lines_) visit(line.value);
  }

 private:
  struct alignas(64) Line {
    T value{};
  };
  std::array<Line, thread_lines> lines_{};
};

}  // namespace lockstep::impl
