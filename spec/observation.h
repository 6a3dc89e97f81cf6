// SPDX-License-Identifier: GPL-2.0-or-later
/// What user space or the guest can see of one command.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "spec/vocabulary/address.h"

namespace lockstep {

/// The command did what it says and returned nothing.
struct Done {
  bool operator==(const Done&) const = default;
};

/// The command returned a value: a read, a peek; a fetch gives the immediate
/// of the code cell it executed (see code_cell()).
struct Value {
  std::uint64_t value = 0;
  bool operator==(const Value&) const = default;
};

struct PageFault {
  std::uint32_t code = 0;  ///< bits of namespace fault
  Gva address = 0;         ///< CR2
  bool operator==(const PageFault&) const = default;
};

/// Another exception, by vector: 13 is #GP.
struct Exception {
  unsigned vector = 0;
  std::uint32_t code = 0;
  bool operator==(const Exception&) const = default;
};

/// KVM_EXIT_MMIO. A read is answered with mmio_answer(gpa).
struct Mmio {
  bool write = false;
  Gpa gpa = 0;
  unsigned size = 0;
  std::uint64_t value = 0;  ///< what was written; 0 for a read
  bool operator==(const Mmio&) const = default;
};

/// An ioctl failed; positive errno.
struct Errno {
  int number = 0;
  bool operator==(const Errno&) const = default;
};

/// KVM_GET_DIRTY_LOG. Bit n of word n/64 is page n of the slot.
struct DirtyBitmap {
  std::uint64_t pages = 0;
  std::vector<std::uint64_t> words;
  bool operator==(const DirtyBitmap&) const = default;
};

/// What the dirty rings held: for each slot, by ascending number, its pages. Bit
/// n of word n/64 is page n; no slot is empty, no last word 0.
struct DirtyPages {
  struct Slot {
    unsigned id = 0;
    std::vector<std::uint64_t> words;
    bool operator==(const Slot&) const = default;
  };
  std::vector<Slot> slots;
  /// Add a page, wherever its slot stands.
  void add(unsigned slot, std::uint64_t page);
  bool operator==(const DirtyPages&) const = default;
};

/// KVM_TRANSLATE: only the address means anything, and only if valid.
struct Translation {
  std::optional<Gpa> gpa;
  bool operator==(const Translation&) const = default;
};

/// KVM_EXIT_INTERNAL_ERROR with its suberror (1 is emulation failure).
struct InternalError {
  unsigned suberror = 0;
  bool operator==(const InternalError&) const = default;
};

/// The access was still faulting after the bound.
struct Livelock {
  unsigned faults = 0;
  bool operator==(const Livelock&) const = default;
};

/// The vCPU left the guest in a way that nobody expected; always a finding.
struct Unexpected {
  std::string what;
  bool operator==(const Unexpected&) const = default;
};

using Observation = std::variant<Done, Value, PageFault, Exception, Mmio, Errno, DirtyBitmap,
                                 Translation, InternalError, Livelock, Unexpected, DirtyPages>;

/// What an MMIO read returns to the guest, before truncation to its size.
constexpr std::uint64_t mmio_answer(Gpa gpa) { return 0x6d6d'0000'0000'0000ull ^ gpa; }

/// Bound on page faults of one access before it counts as a livelock.
inline constexpr unsigned livelock_bound = 64;

}  // namespace lockstep
