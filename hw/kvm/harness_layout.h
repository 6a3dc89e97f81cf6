// SPDX-License-Identifier: GPL-2.0-or-later
/// Where the harness guest lives: in its memory slot and in linear addresses.
#pragma once

#include <cstdint>

#include "spec/vocabulary/configuration.h"

namespace lockstep::hw {

/// Offsets into the harness slot, in bytes. One page each unless noted.
namespace harness_page {
inline constexpr std::uint64_t supervisor_code = 0x0000;
inline constexpr std::uint64_t descriptors = 0x1000;  ///< GDT, then IDT
inline constexpr std::uint64_t parameters = 0x2000;   ///< readable at CPL 3
inline constexpr std::uint64_t user_code = 0x9000;
inline constexpr std::uint64_t pml4 = 0x3000;
inline constexpr std::uint64_t pdpt = 0x4000;
inline constexpr std::uint64_t pd = 0x5000;
inline constexpr std::uint64_t supervisor_pt = 0x6000;
inline constexpr std::uint64_t window_pt = 0x7000;  ///< and user aliases in 32-bit paging
inline constexpr std::uint64_t user_pt = 0x8000;
inline constexpr std::uint64_t vcpu = 0x10000;  ///< one page for each vCPU
}  // namespace harness_page

inline constexpr unsigned harness_max_vcpus = 16;
inline constexpr std::uint64_t harness_slot_size =
    harness_page::vcpu + harness_max_vcpus * page_size;
static_assert(harness_slot_size <= harness::size);

/// Gpa of an offset into the harness slot.
constexpr Gpa harness_gpa(std::uint64_t offset) { return harness::base + offset; }

/// Linear addresses of the harness. All lie under the root entries that
/// harness_index() reserves: the last 8 MiB of the address space.
struct HarnessLayout {
  Gva supervisor = 0;  ///< the whole slot, CPL 0 only
  Gva window = 0;      ///< gpa [0, 2M), read and write at CPL 3
  Gva user_code = 0;   ///< one page, read-only at CPL 3
  Gva parameters = 0;  ///< one page, read-only at CPL 3

  /// Without paging, linear is physical.
  static constexpr HarnessLayout of(PagingMode mode) {
    switch (mode) {
      case PagingMode::none:
        return {.supervisor = harness::base,
                .window = 0,
                .user_code = harness_gpa(harness_page::user_code),
                .parameters = harness_gpa(harness_page::parameters)};
      case PagingMode::bits32:
      case PagingMode::pae:
        return {.supervisor = 0xff80'0000,
                .window = 0xffc0'0000,
                .user_code = 0xffe0'0000,
                .parameters = 0xffe0'1000};
      default:
        return {.supervisor = 0xffff'ffff'ff80'0000,
                .window = 0xffff'ffff'ffc0'0000,
                .user_code = 0xffff'ffff'ffe0'0000,
                .parameters = 0xffff'ffff'ffe0'1000};
    }
  }
};

/// Bytes of the parameter page that each vCPU has to itself.
inline constexpr unsigned parameter_size = 16;

/// True if guest code of the mode runs in 64-bit mode.
constexpr bool is_long_mode(PagingMode mode) {
  return mode == PagingMode::level4 || mode == PagingMode::level5;
}

}  // namespace lockstep::hw
