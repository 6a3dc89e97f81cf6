// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory that a hosted kernel has allocated from the process.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace lockstep::hw::hosted {

/// Owns every block until it is released; what is left goes with the heap or
/// by drop(). Blocks are ordinary ones of malloc(); where no sanitizer must see
/// each access beyond them, released ones lose what they began with, and are kept warm for
/// the next program.
class Heap {
 public:
  Heap() { list_.next = list_.previous = &list_; }
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;
  ~Heap();

  /// What a kernel may have at once, in bytes: one that leaks without end must not take
  /// the machine's memory.
  static constexpr std::uint64_t most_bytes = 1ull << 30;

  /// Null where the kernel would have more than most_bytes, or the process has no
  /// memory. `alignment` is a power of two.
  /// `owner` is the caller's word, kept with the block.
  void* allocate(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t owner = 0);
  /// None if the block is none of this heap's.
  static std::optional<std::uint64_t> owner(void* memory);
  /// False, and nothing done, if the block is none of this heap's, or what
  /// stands before it, or just behind it, was overwritten.
  bool release(void* memory);
  /// Release every block.
  void drop();
  std::uint64_t blocks() const { return blocks_; }
  /// That the kernel asked for, of blocks that are not released.
  std::uint64_t bytes() const { return bytes_; }

 private:
  struct alignas(16) Header {
    Header* next = nullptr;
    Header* previous = nullptr;
    void* start = nullptr;         ///< what malloc() returned
    std::uint64_t size_class = 0;  ///< the block has 2 to that power bytes
    std::uint64_t bytes = 0;       ///< of the kernel's; a mark stands behind them
    std::uint64_t owner = 0;
    std::uint64_t unused = 0;  ///< of the alignment: not behind the mark
    std::uint64_t mark = 0;    ///< last, where an underflow hits first
  };
  static constexpr unsigned size_classes = 42;
  void give_back(void* start, std::uint64_t size_class);
  static std::uint64_t mark_of(const Header* header);
  /// The mark behind the block: what an overrun hits first. A sanitizer sees more.
  static void put_tail(Header* header);
  static bool tail_is_whole(const Header* header);

  Header list_;
  std::array<std::vector<void*>, size_classes> kept_;
  std::uint64_t blocks_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace lockstep::hw::hosted
