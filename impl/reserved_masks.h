// SPDX-License-Identifier: GPL-2.0-or-later
/// Reserved bits as a lookup by bit 7 and level, computed once for each value of
/// the paging registers. KVM: __reset_rsvds_bits_mask().
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// [bit 7 of the entry][level of its table, from 1].
template <typename W>
using ReservedMasks = std::array<std::array<W, 6>, 2>;

/// 32-bit paging: a 4-MByte page keeps address bits 39:32 in bits 20:13. Those
/// past the physical width are reserved, as is bit 21.
template <typename W>
constexpr ReservedMasks<W> reserved_masks_32(BoolOf<W> pse, BoolOf<W> pse36, W maxphyaddr) {
  ReservedMasks<W> masks{};
  const W capped = ite(maxphyaddr < W(40), maxphyaddr, 40);
  const W width = ite(pse36, capped, 32);
  masks[1][2] = ite(pse, bit_range<W>(21, width - 32 + 13), 0);
  return masks;
}

template <typename W>
constexpr ReservedMasks<W> reserved_masks_pae(BoolOf<W> nx, W maxphyaddr) {
  const W high = bit_range<W>(62, maxphyaddr) | ite(nx, W(0), entry::no_execute);
  ReservedMasks<W> masks{};
  masks[0][1] = masks[1][1] = masks[0][2] = high;
  masks[1][2] = high | bit_range<W>(20, 13);
  return masks;
}

/// 4-level and 5-level paging. Bit 8 of the two upper entries is ignored by Intel and
/// must be zero for AMD (APM, Long-Mode Page Translation).
template <typename W>
constexpr ReservedMasks<W> reserved_masks_long(BoolOf<W> nx, BoolOf<W> gigabyte_pages,
                                               BoolOf<W> amd, W maxphyaddr) {
  const W high = bit_range<W>(51, maxphyaddr) | ite(nx, W(0), entry::no_execute);
  ReservedMasks<W> masks{};
  for (std::size_t level = 1; level <= 5; ++level) masks[0][level] = masks[1][level] = high;
  masks[1][2] = high | bit_range<W>(20, 13);
  masks[1][3] = high | ite(gigabyte_pages, bit_range<W>(29, 13), entry::page_size);
  masks[0][4] = masks[0][5] = high | ite(amd, W(entry::global), 0);
  masks[1][4] = masks[1][5] = masks[0][4] | entry::page_size;
  return masks;
}

/// Of a present PDPTE when PAE paging loads it. SDM "PDPTE Registers".
template <typename W>
constexpr W reserved_of_pdpte(W maxphyaddr) {
  return bit_range<W>(2, 1) | bit_range<W>(8, 5) | bit_range<W>(63, maxphyaddr);
}

/// Gpa of the entry for `gva` in a table whose entries select by the bits from
/// `shift`.
template <typename W>
constexpr W entry_gpa(W table, W gva, W shift, W index_mask, W entry_bytes) {
  return table + ((gva >> shift) & index_mask) * entry_bytes;
}

/// Base of a page of 1 << shift bytes above 4 KiB, without the reserved bits that
/// the walk has checked. Under 32-bit paging bits 20:13 are address bits 39:32.
template <typename W>
constexpr W large_page_base(W value, W address_mask, W shift, BoolOf<W> narrow) {
  const W base = value & address_mask & (~W(0) << shift);
  return base | ite(narrow, (value & 0x1f'e000) << 19, 0);
}

}  // namespace lockstep::impl
