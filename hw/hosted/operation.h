// SPDX-License-Identifier: GPL-2.0-or-later
/// What a guest is to do next, and what came of it.
#pragma once

#include <array>
#include <cstdint>

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/configuration.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::hw::hosted {

/// One guest instruction, as the processor executes it and as an emulator would
/// decode it.
struct Operation {
  enum class Kind : std::uint8_t {
    read,     ///< size bytes at address
    write,    ///< of value
    fetch,    ///< the code cell at address
    mov_cr,   ///< value to control register `number`
    wrmsr,    ///< value to MSR `number`
    invlpg,   ///< address
    wrpkru,   ///< value
    invpcid,  ///< type `number`, PCID `value`, linear address `address`
  };
  Kind kind = Kind::read;
  Cpl cpl = Cpl::supervisor;
  bool ac = false;   ///< RFLAGS.AC
  bool mmx = false;  ///< the value of a write stands in MM0
  unsigned size = 8;
  unsigned number = 0;
  std::uint64_t address = 0;
  std::uint64_t value = 0;
  std::uint64_t descriptor = 0;  ///< INVPCID: linear address of its operand
  std::uint64_t rip = 0;
  unsigned length = 0;  ///< of the instruction; 0 if it is not known
  std::array<std::uint8_t, 15> bytes{};
};

/// What became of an operation.
struct Outcome {
  enum class Kind : std::uint8_t {
    running,
    done,        ///< value: what was loaded
    page_fault,  ///< code, address
    exception,   ///< vector, code
    broken,      ///< address: frame that an entry reaches and that is no table
    stale,       ///< address: gpa that only the TLB maps; value: its frame
    foreign,     ///< address: frame that a leaf reaches and that is no user page
    strange,     ///< value: bytes fetched that are no code cell
    livelock
  };
  Kind kind = Kind::running;
  unsigned vector = 0;
  std::uint32_t code = 0;
  std::uint64_t address = 0;
  std::uint64_t value = 0;
};

/// What all processors of a program are.
struct ProcessorModel {
  PagingMode mode = PagingMode::level4;  ///< of the guest, for the whole program
  unsigned host_maxphyaddr = 52;         ///< bits
  bool amd = true;
  std::uint64_t seed = 0;  ///< of what TLBs evict; 0: nothing
};

}  // namespace lockstep::hw::hosted
