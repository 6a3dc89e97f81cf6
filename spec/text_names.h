// SPDX-License-Identifier: GPL-2.0-or-later
/// Every word of the text form that names a value, once for parser and printer.
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "spec/command.h"
#include "spec/vocabulary/configuration.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::spec::text {

template <typename T>
struct Named {
  std::string_view word;
  T value;
};

/// The word of a value; empty if the table has none.
template <typename T, std::size_t N>
constexpr std::string_view word_of(const std::array<Named<T>, N>& names, T value) {
  for (const auto& named : names) {
    if (named.value == value) return named.word;
  }
  return {};
}

inline constexpr std::array<Named<PagingMode>, 5> paging_names{{{"none", PagingMode::none},
                                                                {"32-bit", PagingMode::bits32},
                                                                {"pae", PagingMode::pae},
                                                                {"4-level", PagingMode::level4},
                                                                {"5-level", PagingMode::level5}}};

inline constexpr std::array<Named<MmuKind>, 3> mmu_names{
    {{"any", MmuKind::any}, {"shadow", MmuKind::shadow}, {"tdp", MmuKind::tdp}}};

inline constexpr std::array<Named<DirtyLogMode>, 4> dirty_log_names{
    {{"plain", DirtyLogMode::plain},
     {"manual", DirtyLogMode::manual},
     {"manual-all-set", DirtyLogMode::manual_all_set},
     {"ring", DirtyLogMode::ring}}};

inline constexpr std::array<Named<Vendor>, 2> vendor_names{
    {{"amd", Vendor::amd}, {"intel", Vendor::intel}}};

/// Of module parameters; settings of the VM have switch_names.
inline constexpr std::array<Named<bool>, 2> parameter_names{{{"off", false}, {"on", true}}};

/// Module parameters that are on or off, by the setting of the `host` line.
inline constexpr std::array<Named<std::optional<bool> HostParameters::*>, 10> host_switch_names{
    {{"tdp-mmu", &HostParameters::tdp_mmu},
     {"eager-split", &HostParameters::eager_page_split},
     {"nx-huge-pages", &HostParameters::nx_huge_pages},
     {"ad-bits", &HostParameters::ad_bits},
     {"pml", &HostParameters::pml},
     {"five-levels", &HostParameters::five_levels},
     {"spare-bit", &HostParameters::spare_bit},
     {"contended", &HostParameters::contended},
     {"early-grace", &HostParameters::early_grace},
     {"pfnmap", &HostParameters::pfnmap}}};

inline constexpr std::array<Named<HostAction>, host_action_count> host_action_names{
    {{"migrate", HostAction::migrate},
     {"protect", HostAction::protect},
     {"unprotect", HostAction::unprotect},
     {"age", HostAction::age},
     {"split", HostAction::split},
     {"collapse", HostAction::collapse},
     {"discard", HostAction::discard}}};

inline constexpr std::array<Named<bool>, 2> switch_names{{{"0", false}, {"1", true}}};

inline constexpr std::array<Named<ControlBit>, control_bit_count> control_names{
    {{"cr0.wp", ControlBit::cr0_wp},
     {"cr4.pse", ControlBit::cr4_pse},
     {"cr4.pge", ControlBit::cr4_pge},
     {"cr4.smep", ControlBit::cr4_smep},
     {"cr4.smap", ControlBit::cr4_smap},
     {"cr4.pke", ControlBit::cr4_pke},
     {"cr4.pcide", ControlBit::cr4_pcide},
     {"efer.nx", ControlBit::efer_nx}}};

inline constexpr std::array<Named<TableLevel>, 5> level_names{{{"pt", TableLevel::pt},
                                                               {"pd", TableLevel::pd},
                                                               {"pdpt", TableLevel::pdpt},
                                                               {"pml4", TableLevel::pml4},
                                                               {"pml5", TableLevel::pml5}}};

inline constexpr std::array<Named<AccessKind>, 3> access_names{
    {{"read", AccessKind::read}, {"write", AccessKind::write}, {"fetch", AccessKind::fetch}}};

inline constexpr std::array<Named<Cpl>, 2> cpl_names{
    {{"cpl0", Cpl::supervisor}, {"cpl3", Cpl::user}}};

inline constexpr std::array<Named<InvpcidType>, 4> invpcid_names{
    {{"address", InvpcidType::address},
     {"single", InvpcidType::single},
     {"all-and-global", InvpcidType::all_and_global},
     {"all", InvpcidType::all}}};

/// Entry bits that stand as a word of their own, behind the four rights.
inline constexpr std::array<Named<std::uint64_t>, 6> entry_flag_names{
    {{"a", entry::accessed},
     {"d", entry::dirty},
     {"g", entry::global},
     {"ps", entry::page_size},
     {"pwt", entry::write_through},
     {"pcd", entry::cache_disable}}};

/// Bits of the #PF error code but the present bit, in print order.
inline constexpr std::array<Named<std::uint32_t>, 5> fault_names{{{"write", fault::write},
                                                                  {"user", fault::user},
                                                                  {"rsvd", fault::reserved},
                                                                  {"fetch", fault::fetch},
                                                                  {"pk", fault::protection_key}}};

inline constexpr std::array<Named<int>, 18> errno_names{{{"EPERM", EPERM},
                                                         {"ENOENT", ENOENT},
                                                         {"EINTR", EINTR},
                                                         {"EIO", EIO},
                                                         {"ENXIO", ENXIO},
                                                         {"E2BIG", E2BIG},
                                                         {"EBADF", EBADF},
                                                         {"EAGAIN", EAGAIN},
                                                         {"ENOMEM", ENOMEM},
                                                         {"EACCES", EACCES},
                                                         {"EFAULT", EFAULT},
                                                         {"EBUSY", EBUSY},
                                                         {"EEXIST", EEXIST},
                                                         {"ENODEV", ENODEV},
                                                         {"EINVAL", EINVAL},
                                                         {"ENOTTY", ENOTTY},
                                                         {"ENOSPC", ENOSPC},
                                                         {"ENOSYS", ENOSYS}}};

/// Bounds of the text form.
inline constexpr std::size_t most_bytes = 1u << 20;
inline constexpr std::size_t most_steps = 1u << 16;
inline constexpr std::size_t most_roots = harness::window / page_size;
/// Pages of the greatest slot that program memory can back.
inline constexpr std::uint64_t most_memory = 64ull << 20;
inline constexpr std::uint64_t most_bitmap_pages = most_memory / page_size;
inline constexpr int most_errno = 4095;

}  // namespace lockstep::spec::text
