// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/cpu/ept_walk.h"

namespace lockstep::spec {
namespace {

constexpr std::uint64_t ept_read = 1u << 0;
constexpr std::uint64_t ept_write = 1u << 1;
constexpr std::uint64_t ept_execute = 1u << 2;
constexpr std::uint64_t ept_large = 1u << 7;
constexpr std::uint64_t ept_accessed = 1u << 8;
constexpr std::uint64_t ept_dirty = 1u << 9;

constexpr unsigned log_entries = 512;

/// Bits high:low, both included; empty when high is below low.
constexpr std::uint64_t bits(unsigned high, unsigned low) {
  return high < low ? 0 : (~0ull >> (63 - high)) & (~0ull << low);
}

/// SDM "EPT Misconfigurations".
bool misconfigured(unsigned level, std::uint64_t value, bool leaf, unsigned maxphyaddr) {
  if ((value & ept_write) != 0 && (value & ept_read) == 0) return true;
  std::uint64_t reserved = bits(51, maxphyaddr);
  if (!leaf) {
    reserved |= level >= 4 ? bits(7, 3) : bits(6, 3);
  } else {
    if (level > 1) reserved |= bits(11 + 9 * (level - 1), 12);
    const std::uint64_t memory_type = (value >> 3) & 7;
    if (memory_type == 2 || memory_type == 3 || memory_type == 7) return true;
  }
  return (value & reserved) != 0;
}

}  // namespace

HostWalk walk_ept(PhysicalMemory& memory, Hfn root, unsigned levels, std::uint64_t address,
                  bool write, bool accessed_dirty, unsigned maxphyaddr, PageModificationLog* log) {
  // Four levels translate 48 bits; an address above them is an EPT violation whatever the
  // tables say (SDM "EPT Translation Mechanism"; it is why __do_cpuid_func() offers 48
  // GuestPhysBits under four levels).
  if (levels < 5 && address >> (page_shift + 9 * levels) != 0) {
    return HostMiss{.reserved = false,
                    .log_full = false,
                    .rights = {.writable = false, .user = false, .executable = false}};
  }
  // Fetched before anything is read: who provides memory may let another processor run there.
  std::uint64_t* const logged = log == nullptr ? nullptr : memory.table(log->page);
  if (log != nullptr && logged == nullptr) return HostBroken{log->page};
  Combined rights;
  Hfn frame = root;
  for (unsigned level = levels; level != 0; --level) {
    std::uint64_t* const table = memory.table(frame);
    if (table == nullptr) return HostBroken{frame};
    const unsigned shift = static_cast<unsigned>(page_shift) + 9 * (level - 1);
    std::uint64_t& value = table[(address >> shift) & 511];
    rights.user = rights.user && (value & ept_read) != 0;
    rights.writable = rights.writable && (value & ept_write) != 0;
    rights.executable = rights.executable && (value & ept_execute) != 0;
    if ((value & (ept_read | ept_write | ept_execute)) == 0) {
      return HostMiss{.reserved = false, .log_full = false, .rights = rights};
    }
    const bool leaf = level == 1 || (level <= 3 && (value & ept_large) != 0);
    if (misconfigured(level, value, leaf, maxphyaddr)) {
      return HostMiss{.reserved = true, .log_full = false, .rights = rights};
    }
    const bool dirties = leaf && write && rights.writable;
    const std::uint64_t flags = accessed_dirty ? ept_accessed | (dirties ? ept_dirty : 0) : 0;
    // Room is asked for before any flag is set, even one that is not logged.
    if (log != nullptr && (value & flags) != flags && log->index >= log_entries) {
      return HostMiss{.reserved = false, .log_full = true, .rights = rights};
    }
    if (log != nullptr && (flags & ~value & ept_dirty) != 0) {
      logged[log->index--] = address & page_mask;
    }
    value |= flags;
    if (!leaf) {
      frame = gpa_to_gfn(value & entry::address);
      continue;
    }
    const std::uint64_t size = 1ull << shift;
    HostLeaf found;
    found.translation.page = value & entry::address & ~(size - 1);
    found.translation.size = size;
    found.translation.rights = rights;
    found.translation.dirty = (value & ept_dirty) != 0;
    found.frame = gpa_to_gfn(found.translation.page | (address & (size - 1)));
    return found;
  }
  return HostMiss{};
}

}  // namespace lockstep::spec
