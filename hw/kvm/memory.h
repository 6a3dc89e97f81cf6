// SPDX-License-Identifier: GPL-2.0-or-later
/// Host memory of programs: every page holds its own code cell until somebody
/// writes to it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "hw/kvm/fd.h"
#include "spec/engine.h"

namespace lockstep::hw {

/// A memfd whose pages hold code_cell(hfn). Never changes once filled, so that
/// processes may share it across fork(); it can only grow.
class PatternFile {
 public:
  static Result<PatternFile> create();
  /// Make the first `size` bytes valid. Up to memory_limit.
  Result<void> grow(std::uint64_t size);
  int fd() const { return fd_.get(); }

 private:
  Fd fd_;
  std::uint64_t filled_ = 0;
};

/// Largest Configuration::memory, in bytes.
inline constexpr std::uint64_t memory_limit = 1ull << 32;

/// A private view of the pattern: writes stay here and reset() forgets them.
/// Aligned so that huge pages of the host can back it. The pattern must outlive
/// it.
class ProgramMemory {
 public:
  static Result<ProgramMemory> map(const std::shared_ptr<PatternFile>& pattern, std::uint64_t size);
  std::uint64_t size() const { return bytes_.size(); }
  std::byte* data() const { return bytes_.data(); }
  /// Every page holds the pattern again, in small pages, writable.
  Result<void> reset();
  /// Store or load `width` (at most 8) bytes; false where the range leaves the
  /// memory, or is write-protected.
  bool store(Hva hva, std::uint64_t value, unsigned width);
  bool load(Hva hva, std::uint64_t& value, unsigned width) const;
  /// Store although the page is write-protected.
  Result<void> store_anyway(Hva hva, std::uint64_t value, unsigned width);

  /// What the host does to the pages [hva, hva + size), which lie inside; by
  /// system calls on this mapping, so that MMU notifiers run. Never `age`.
  /// True if the pages are another way than before.
  Result<bool> change(HostAction action, Hva hva, std::uint64_t size);

 private:
  Result<void> move_here(Mapping copy, Hva hva);
  Result<bool> migrate(Hva hva, std::uint64_t size);
  Result<bool> collapse(Hva hva, std::uint64_t size);
  Result<bool> split(Hva hva, std::uint64_t size);
  Result<bool> discard(Hva hva, std::uint64_t size);
  Result<bool> protect(Hva hva, std::uint64_t size, bool on);
  /// Give the pages the protection that they should have.
  Result<void> settle(Hva hva, std::uint64_t size);
  bool is_protected(Hva hva) const;

  std::shared_ptr<PatternFile> pattern_;
  Mapping mapping_;  ///< somewhat larger, for the alignment
  std::span<std::byte> bytes_;
  std::vector<bool> protected_;  ///< by page; absent is false
  bool remapped_ = false;        ///< another mapping stands in some place
  bool anonymous_ = false;       ///< ... that has no file behind it
};

/// Whether this host makes huge pages on request (MADV_COLLAPSE, Linux 6.1).
bool collapses_pages();

}  // namespace lockstep::hw
