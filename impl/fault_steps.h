// SPDX-License-Identifier: GPL-2.0-or-later
/// Decisions of a fault, and of what takes rights away again, one function each:
/// where an entry ends the walk, which rights are mapped, what a store to a table
/// does, what synchronizing and write protection leave of an SPTE.
///
/// Templates over a word W (spec/vocabulary/word.h), so that theorems speak of
/// the text that runs.
#pragma once

#include "impl/spte.h"
#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Whether one guest entry ends the walk with a fault, and its error code.
template <typename W>
struct EntryStop {
  BoolOf<W> stops = false;
  W code = 0;
};
/// `base_code` has the bits of the access; `reserved` is the mask of the entry's
/// level. KVM: FNAME(walk_addr_generic)().
template <typename W>
constexpr EntryStop<W> entry_stop(W value, W reserved, W base_code) {
  const BoolOf<W> absent = (value & entry::present) == 0;
  const BoolOf<W> bad = !absent && (value & reserved) != 0;
  return {absent || bad, base_code | ite(bad, W(fault::present | fault::reserved), 0)};
}

/// A page whose leaf entry is not dirty is mapped without write access, so that
/// the write that must set the flag faults. KVM: FNAME(page_fault)(), protect_clean_gpte().
template <typename W>
constexpr W rights_if_clean(W access, std::type_identity_t<W> leaf) {
  return ite((leaf & entry::dirty) == 0, access & ~W(rights::writable), access);
}

/// Reads of a clean page in a logged slot map it read-only: the write that
/// follows is the one to log.
template <typename B>
constexpr B must_stay_clean(B logged, B write, B dirty) {
  return logged && !write && !dirty;
}

/// Whether a write that the walk allowed needs other rights than the walk's:
/// CR0.WP is clear (impl/wp_exchange.h).
template <typename W>
constexpr BoolOf<W> needs_exchange(W access, BoolOf<W> write) {
  return write && (access & rights::writable) == 0;
}

/// A write that no SPTE may let through: to a read-only slot, or a tracked page. KVM:
/// page_fault_handle_page_track(), kvm_handle_error_pfn(), 6.1 kvm_handle_bad_page().
template <typename B>
constexpr B must_emulate(B write, B read_only, B tracked) {
  return write && (read_only || tracked);
}

/// Whether the SPTE that stands there maps the same page, so that it is changed
/// in place. KVM: mmu_set_spte(), which compares the frame alone.
template <typename W>
constexpr BoolOf<W> maps_same(W old, std::type_identity_t<W> level, std::type_identity_t<W> frame,
                              BoolOf<W> same_gfn) {
  return spte_present(old) && spte_leaf(old, level) && spte_frame(old) == frame && same_gfn;
}

/// Whether write access that a new leaf would give must be asked for: the gfn may
/// be a guest's table. What is writable already was asked for. KVM: make_spte().
template <typename W>
constexpr BoolOf<W> asks_for_write(const LeafRequest<W>& request, std::type_identity_t<W> old) {
  return request.may_write() && (request.access & rights::writable) != 0 && !spte_writable(old);
}

/// Whether a shadow page of the gfn forbids write access to it. `can_unsync`: the
/// caller may let it lag behind; `prefetch`: but not begin to. KVM:
/// mmu_try_to_unsync_pages().
template <typename W>
constexpr BoolOf<W> forbids_write(BoolOf<W> can_unsync, BoolOf<W> prefetch,
                                  std::type_identity_t<W> level, BoolOf<W> unsync) {
  return !can_unsync || level != W(1) || (!unsync && prefetch);
}

/// What the guest's entry behind an SPTE says when a page is synchronized; an
/// entry that was never used says nothing. KVM: FNAME(sync_spte)(),
/// FNAME(prefetch_invalid_gpte)().
template <typename W>
constexpr BoolOf<W> sync_usable(W value, std::type_identity_t<W> reserved) {
  return (value & entry::present) != 0 && (value & entry::accessed) != 0 && (value & reserved) == 0;
}

/// What becomes of an SPTE that maps nothing when its page is synchronized: an
/// MMIO entry of an older generation must not be made young again, since its gfn
/// may have a slot by now. KVM: sync_mmio_spte().
template <typename W>
constexpr W synced_mmio(const MmioLayout<W>& layout, std::type_identity_t<W> old, BoolOf<W> usable,
                        std::type_identity_t<W> gfn, std::type_identity_t<W> access,
                        std::type_identity_t<W> generation) {
  const BoolOf<W> same = usable && is_mmio<W>(layout, old) &&
                         decode_mmio_gfn<W>(layout, old) == gfn &&
                         mmio_hit<W>(layout, old, generation);
  return ite(same, encode_mmio<W>(layout, gfn, access, generation), W(0));
}

/// Rights of a walk that are kept for MMIO: software fetches nothing from there.
template <typename W>
constexpr W mmio_access(W access) {
  return access & (rights::writable | rights::user);
}

/// An SPTE after write protection: the same value if nothing is to be taken. KVM:
/// spte_write_protect().
template <typename W>
constexpr W write_protected(W value, BoolOf<W> for_good) {
  const BoolOf<W> taken = spte_writable(value) || (for_good && may_restore_write(value));
  return ite(taken, without_write<W>(value, for_good), value);
}

/// An SPTE whose dirty bit was read: the same value if there was nothing to read.
/// KVM: spte_clear_dirty().
template <typename W>
constexpr W without_dirty(W value) {
  return ite(spte_writable(value), value & ~W(entry::dirty), value);
}

/// Whether a change of the SPTE loses a dirty bit that nobody has read.
template <typename W>
constexpr BoolOf<W> loses_dirty(W old, std::type_identity_t<W> now) {
  return spte_writable(old) && (old & entry::dirty) != 0 && (now & entry::dirty) == 0;
}

}  // namespace lockstep::impl
