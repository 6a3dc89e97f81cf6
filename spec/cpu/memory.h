// SPDX-License-Identifier: GPL-2.0-or-later
/// What a software processor walks: the host's frames.
#pragma once

#include <cstdint>

#include "spec/vocabulary/address.h"

namespace lockstep::spec {

/// Physical memory of the host, as an engine provides it.
class PhysicalMemory {
 public:
  PhysicalMemory() = default;
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;
  virtual ~PhysicalMemory() = default;

  /// The 512 entries of a table that the MMU built; null if the frame holds
  /// none, which is a finding: an entry still reaches a freed table.
  virtual std::uint64_t* table(Hfn frame) = 0;
  /// Load 1, 2, 4 or 8 bytes of guest memory; `frame` was mapped by a table.
  virtual std::uint64_t load(Hfn frame, unsigned offset, unsigned size) = 0;
  /// Store likewise.
  virtual void store(Hfn frame, unsigned offset, unsigned size, std::uint64_t value) = 0;
};

}  // namespace lockstep::spec
