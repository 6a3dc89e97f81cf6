// SPDX-License-Identifier: GPL-2.0-or-later
/// A small guest for the tests of this room: memory, one VM, vCPUs on demand.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "impl/spte.h"
#include "impl/vcpu.h"
#include "impl/vm.h"

namespace lockstep::impl::test {

inline constexpr std::uint64_t pwu = entry::present | entry::writable | entry::user;
inline constexpr std::uint64_t pu = entry::present | entry::user;

inline ControlBits bits(std::initializer_list<ControlBit> set) {
  ControlBits control;
  for (ControlBit bit : set) control.set(bit, true);
  return control;
}

class Guest {
 public:
  static constexpr std::uint64_t memory_size = 8ull << 20;

  explicit Guest(VmSettings settings = {})
      : cells_(memory_size / 8),
        touched_(memory_size / page_size / 64),
        vm(HostMemory(std::as_writable_bytes(std::span(cells_)), touched_), arena, settings) {}

  std::optional<Error> slot(const MemoryRegion& region) {
    const auto set = vm.set_memory_region(region);
    return set ? std::nullopt : std::optional(set.error());
  }
  /// User space stores an entry before the guest runs.
  void entry(Gpa table, unsigned index, std::uint64_t value, unsigned bytes = 8) {
    vm.memory().store(vm.place(table).hva + index * bytes, bytes, value);
  }
  std::uint64_t entry_at(Gpa table, unsigned index, unsigned bytes = 8) {
    return vm.memory().load(vm.place(table).hva + index * bytes, bytes);
  }
  /// Four-level tables at 0x1000..0x4000 that map gva 0 + n * 4K to `gpas[n]`.
  void map4(std::initializer_list<Gpa> gpas, std::uint64_t flags = pwu) {
    entry(0x1000, 0, 0x2000 | pwu);
    entry(0x2000, 0, 0x3000 | pwu);
    entry(0x3000, 0, 0x4000 | pwu);
    unsigned index = 0;
    for (Gpa gpa : gpas) entry(0x4000, index++, gpa | flags);
  }

  std::vector<std::uint64_t> cells_;
  std::vector<std::uint64_t> touched_;
  TableArena arena{1ull << 28};
  Vm vm;
};

/// The leaf SPTE that hardware would find, if any.
inline std::optional<std::uint64_t> leaf(Guest& guest, const Vcpu& cpu, Gva gva) {
  const auto root = cpu.root_frame();
  if (!root) return std::nullopt;
  Hfn frame = *root;
  for (unsigned level = cpu.root_level(); level != 0; --level) {
    ShadowPage* page = guest.arena.find(frame);
    if (page == nullptr) return std::nullopt;
    const auto index = static_cast<unsigned>(gva >> (12 + 9 * (level - 1))) & 511u;
    if (!page->present(index)) return std::nullopt;
    const std::uint64_t spte = page->spte(index);
    if (spte_leaf(spte, level)) {
      // Of a huge leaf, the piece that maps the address.
      return spte + ((gva >> page_shift & (pages_of(level) - 1)) << page_shift);
    }
    frame = spte_frame(spte);
  }
  return std::nullopt;
}

inline constexpr GuestAccess user_read{AccessKind::read, Cpl::user, false};
inline constexpr GuestAccess user_write{AccessKind::write, Cpl::user, false};
inline constexpr GuestAccess kernel_read{AccessKind::read, Cpl::supervisor, false};
inline constexpr GuestAccess kernel_write{AccessKind::write, Cpl::supervisor, false};

/// Enter and take one fault.
inline FaultOutcome take_fault(Vcpu& cpu, Gva gva, const GuestAccess& access) {
  if (const auto entered = cpu.prepare_entry(); !entered) return RunError{entered.error()};
  return cpu.page_fault(gva, access);
}
inline bool fixed(const FaultOutcome& outcome) { return std::holds_alternative<Fixed>(outcome); }
inline std::optional<std::uint32_t> injected(const FaultOutcome& outcome) {
  const auto* inject = std::get_if<InjectPageFault>(&outcome);
  return inject == nullptr ? std::nullopt : std::optional(inject->code);
}

}  // namespace lockstep::impl::test
