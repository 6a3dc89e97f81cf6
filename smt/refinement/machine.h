// SPDX-License-Identifier: GPL-2.0-or-later
/// The template machine of the refinement theorems: two slots of two pages, two
/// vCPUs, one address each, and the two shadow pages that their last SPTEs stand in.
/// Every register, guest entry and SPTE is free. The machine without a paging mode
/// is the direct one, under two-dimensional paging: addresses are the guest's physical
/// ones, and no table of the guest is shadowed.
///
/// What is a formula here is a function of impl/ or of spec/; what holds formulas
/// together (which SPTE, which slot) is written down again, without lists, hashes
/// or locks. Left out: huge pages of guest and host, the vCPU's MMIO address cache,
/// PCIDs and global pages, more than one index of a table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "impl/fault_steps.h"
#include "impl/permission_bitmap.h"
#include "impl/reserved_masks.h"
#include "impl/role.h"
#include "impl/spte.h"
#include "smt/policy.h"
#include "smt/theorem.h"
#include "spec/x86/access_rules.h"
#include "spec/x86/format_rules.h"

namespace lockstep::smt::refinement {

inline constexpr std::size_t slot_count = 2;
inline constexpr std::size_t gfn_count = 4;
inline constexpr std::size_t vcpu_count = 2;

/// Levels of tables that the walk reads. PAE begins at its PDPTE register.
constexpr unsigned levels_of(PagingMode mode) {
  switch (mode) {
    case PagingMode::none:
      return 1;
    case PagingMode::level4:
      return 4;
    case PagingMode::level5:
      return 5;
    default:
      return 2;
  }
}

/// Registers of a vCPU, as the guest sees them.
template <typename P>
struct Registers {
  using B = typename P::Bool;
  B wp, smep, smap, nx, pse;
};

/// A level-1 shadow page and its SPTE at one index.
template <typename P>
struct ShadowLeaf {
  using B = typename P::Bool;
  using W = typename P::Word;
  B exists;
  W table;  ///< gfn of the guest's table
  impl::RoleFields<W> role;
  W guest;  ///< the guest's entry behind the SPTE, as memory is now
  B unsync;
  W spte;
  W gfn;   ///< ShadowPage::gfn_at(); of the index where direct
  W seen;  ///< ghost: the entry that the SPTE was made from
};

template <typename P>
struct Cpu {
  using B = typename P::Bool;
  using W = typename P::Word;
  Registers<P> registers;
  std::array<W, 6> upper;  ///< the guest's entries at levels 2 and up, by level
  W upper_table;           ///< gfn of the table at level 2
  W quadrant;
  B linked;  ///< shadow tables lead to the leaf page
  B cached;  ///< the TLB has a translation
  W tlb;     ///< its SPTE
  B owed;    ///< a flush was requested, and is due at the next entry
  /// Ghost, by shadow page: the model of history (spec/x86/translations.h) admits
  /// what the page's SPTE was made from, though memory may say otherwise now.
  std::array<B, 2> admits;
};

template <typename P>
struct Machine {
  using B = typename P::Bool;
  using W = typename P::Word;

  PagingMode mode = PagingMode::level4;
  W maxphyaddr;
  std::array<B, slot_count> exists, read_only, log;
  std::array<W, gfn_count> frame;    ///< of the host
  std::array<B, gfn_count> refused;  ///< the host lets nobody write the page
  std::array<B, gfn_count> dirty;    ///< bitmap
  std::array<B, gfn_count> written;  ///< ghost: written since the bitmap was read
  /// An upper table of the guest is shadowed there, or somebody follows its writes.
  std::array<B, gfn_count> tracked;
  B dirty_bits;  ///< the log is kept by D bits, not write protection
  W generation;
  std::array<ShadowLeaf<P>, 2> pages;
  std::array<Cpu<P>, vcpu_count> cpus;
  B shares;  ///< vCPU 1 uses page 0, too; else page 1

  // Guest memory.

  template <typename T>
  T at(const std::array<T, gfn_count>& array, const W& gfn) const {
    T value = array[gfn_count - 1];
    for (std::size_t i = gfn_count - 1; i-- > 0;) value = ite(gfn == W(i), array[i], value);
    return value;
  }
  B of_slot(const std::array<B, slot_count>& array, const W& gfn) const {
    return (gfn < W(2) && array[0]) || (gfn >= W(2) && gfn < W(gfn_count) && array[1]);
  }
  B in_slot(const W& gfn) const { return of_slot(exists, gfn); }
  static void set(std::array<B, gfn_count>& array, const W& gfn, const B& when, const B& to) {
    for (std::size_t i = 0; i < gfn_count; ++i) array[i] = ite(when && gfn == W(i), to, array[i]);
  }

  /// Under two-dimensional paging.
  bool direct() const { return mode == PagingMode::none; }
  /// The page shadows the guest's table at the gfn.
  B shadows(const ShadowLeaf<P>& page, const W& gfn) const {
    return !direct() && page.exists && page.table == gfn;
  }
  /// The vCPU's walk reads a table of a higher level there.
  B walks_through(const Cpu<P>& cpu, const W& gfn) const {
    return !direct() && cpu.linked && cpu.upper_table == gfn;
  }

  // Who uses which page.

  B uses(std::size_t cpu, std::size_t page) const {
    if (cpu == 0) return page == 0;
    return page == 0 ? shares : !shares;
  }
  W spte_of(std::size_t cpu) const {
    return cpu == 0 ? pages[0].spte : ite(shares, pages[0].spte, pages[1].spte);
  }

  /// Whether a write needs no walk that sets the dirty flag: it is set, or stands
  /// in a read-only slot, where nobody can set it.
  B counts_as_dirty(const ShadowLeaf<P>& page) const {
    return direct() || (page.seen & entry::dirty) != 0 || of_slot(read_only, page.table);
  }

  // Registers and formats, for either side.

  bool narrow() const { return mode == PagingMode::bits32; }
  B nx_works(const Registers<P>& registers) const { return registers.nx && !narrow(); }
  W nx_mask(const B& works) const { return ite(works, W(entry::no_execute), 0); }
  spec::EntryFormat<W> format(const B& nx, const B& pse) const {
    return {.mode = mode,
            .page_size_extensions = pse,
            .no_execute = nx,
            .gigabyte_pages = true,
            .amd = false,
            .maxphyaddr = maxphyaddr,
            .pse36_width = 40};
  }
  /// The implementation's masks of a register state.
  impl::ReservedMasks<W> masks(const B& nx, const B& pse) const {
    if (narrow()) return impl::reserved_masks_32<W>(pse, true, maxphyaddr);
    if (mode == PagingMode::pae) return impl::reserved_masks_pae<W>(nx, maxphyaddr);
    return impl::reserved_masks_long<W>(nx, true, /*amd=*/false, maxphyaddr);
  }
  W mask_of(const impl::ReservedMasks<W>& masks, unsigned level, const W& value) const {
    return ite((value & entry::page_size) != 0, masks[1][level], masks[0][level]);
  }
  W table_mask() const { return narrow() ? entry::address32 : entry::address; }
  W impl_gfn(const W& value) const { return (value & table_mask()) >> page_shift; }

  impl::RoleFields<W> role_of(const Cpu<P>& cpu, const W& access) const {
    const Registers<P>& r = cpu.registers;
    const auto base = impl::base_role<W>({.shadowed = true,
                                          .four_byte_entries = narrow(),
                                          .wp = r.wp,
                                          .smep = r.smep,
                                          .smap = r.smap,
                                          .nx = nx_works(r),
                                          .pse = r.pse});
    return impl::child_role<W, W>(
        base, {.level = 1, .direct = false, .access = access, .quadrant = cpu.quadrant});
  }

  /// Gfn of what a page's SPTE was made from, by the architecture.
  W target_of(const ShadowLeaf<P>& page) const {
    if (direct()) return page.gfn;
    const auto read = format(page.role.efer_nx, page.role.cr4_pse);
    return spec::entry_target(read, TableLevel::pt, page.seen) >> page_shift;
  }

  // What the architecture says of a leaf entry below entries that grant `access`.

  spec::Grant<B> grant_of(const W& access, const W& leaf, const B& nx) const {
    if (direct()) return {true, true, true};
    const spec::Grant<B> above = {.writable = (access & impl::rights::writable) != 0,
                                  .user = (access & impl::rights::user) != 0,
                                  .executable = (access & impl::rights::executable) != 0};
    // Where the flag does not work it is reserved, or there is none.
    return spec::combine<W>(above, leaf, nx);
  }
};

/// What hardware reads from an SPTE: shadow tables are 4-level ones with NX, and
/// links grant everything.
template <typename P>
spec::Grant<typename P::Bool> hardware_grant(const typename P::Word& spte) {
  using B = typename P::Bool;
  return spec::combine<typename P::Word>({B(true), B(true), B(true)}, spte, B(true));
}

/// Two guest entries that differ in flags that walks set: `old` was there first.
template <typename W>
BoolOf<W> same_but_flags(const W& old, const W& now) {
  return (old & ~now) == 0 && ((old ^ now) & ~W(entry::accessed | entry::dirty)) == 0;
}

}  // namespace lockstep::smt::refinement
