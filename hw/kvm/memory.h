// SPDX-License-Identifier: GPL-2.0-or-later
/// Host memory of programs: every page holds its own code cell until somebody
/// writes to it.
#pragma once

#include <cstdint>
#include <memory>

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
class ProgramMemory {
 public:
  static Result<ProgramMemory> map(PatternFile& pattern, std::uint64_t size);
  std::uint64_t size() const { return mapping_.size(); }
  std::byte* data() const { return mapping_.data(); }
  /// Every page holds the pattern again.
  Result<void> reset();
  /// Store or load `width` (at most 8) bytes; false where the range leaves the
  /// memory.
  bool store(Hva hva, std::uint64_t value, unsigned width);
  bool load(Hva hva, std::uint64_t& value, unsigned width) const;

 private:
  Mapping mapping_;
};

}  // namespace lockstep::hw
