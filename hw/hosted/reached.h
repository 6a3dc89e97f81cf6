// SPDX-License-Identifier: GPL-2.0-or-later
/// Paths that a hosted engine counts, by the names of Engine::reached().
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace lockstep::hw::hosted {

enum class Path : std::uint8_t {
  commands,
  access,
  access_read,
  access_write,
  access_fetch,
  access_cpl0,
  access_cpl3,
  access_pf,
  mmio_read,
  mmio_write,
  internal_error,
  vcpu1,
  entry_write,
  slot_ok,
  slot_errno,
  dirty_get,
  dirty_clear,
  ring_collect,
  mmu_pages,
  host_change,
  host_race,
  notified_at_once,
  changed_entry,
  shrink,
  nx_recover,
  translate,
  cr3,
  invlpg,
  invpcid,
  control,
  pkru,
  eager_split,
  aging,
  tlb_looked_at,
  vm_created,
  image_reset,
  grace_late,
  grace_early,
  invariants,
  count
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(Path::count)> path_names = {
    "commands",
    "access",
    "access read",
    "access write",
    "access fetch",
    "access cpl0",
    "access cpl3",
    "access #PF",
    "mmio read",
    "mmio write",
    "internal error",
    "vcpu1",
    "entry write",
    "slot ok",
    "slot errno",
    "dirty get",
    "dirty clear",
    "ring collect",
    "mmu pages",
    "host change",
    "host race",
    "host change at once",
    "host change of an entry",
    "shrink",
    "nx recover",
    "translate",
    "cr3",
    "invlpg",
    "invpcid",
    "control",
    "pkru",
    "eager page split",
    "aging judged",
    "tlb looked at",
    "vm created",
    "image reset",
    "grace periods end late",
    "grace periods end early",
    "invariants"};

class Reached {
 public:
  void hit(Path path) { ++counts_[static_cast<std::size_t>(path)]; }
  std::uint64_t of(std::size_t path) const { return counts_[path]; }

 private:
  std::array<std::uint64_t, static_cast<std::size_t>(Path::count)> counts_{};
};

}  // namespace lockstep::hw::hosted
