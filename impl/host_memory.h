// SPDX-License-Identifier: GPL-2.0-or-later
/// Host memory that backs the memslots, as the adapter hands it over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "spec/vocabulary/address.h"

namespace lockstep::impl {

/// A view of one contiguous range of host memory; hva 0 is its first byte.
/// Owns nothing. Every store is marked, page by page, in `touched`, so that the
/// owner can restore a program's memory without visiting pages nobody wrote.
class HostMemory {
 public:
  /// `touched` has one bit a page and outlives this view, as `bytes` does.
  HostMemory(std::span<std::byte> bytes, std::span<std::uint64_t> touched)
      : bytes_(bytes), touched_(touched) {}

  std::uint64_t size() const { return bytes_.size(); }
  /// Whether `size` bytes at `hva` exist.
  bool contains(Hva hva, std::uint64_t size) const {
    return hva <= bytes_.size() && size <= bytes_.size() - hva;
  }
  /// Load 1, 2, 4 or 8 bytes that exist, little endian, zero-extended.
  std::uint64_t load(Hva hva, unsigned size) const {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes_.data() + hva, size);
    return value;
  }
  /// Store the low 1, 2, 4 or 8 bytes of `value` at bytes that exist.
  void store(Hva hva, unsigned size, std::uint64_t value) {
    const Hfn page = hva >> page_shift;
    touched_[page / 64] |= 1ull << (page % 64);
    std::memcpy(bytes_.data() + hva, &value, size);
  }

 private:
  std::span<std::byte> bytes_;
  std::span<std::uint64_t> touched_;
};

}  // namespace lockstep::impl
