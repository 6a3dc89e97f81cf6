// SPDX-License-Identifier: GPL-2.0-or-later
/// Access tracking and the fast page fault of KVM, for both layouts of EPT.
#include "smt/kernel/access_track.h"

#include "smt/theorems/theorems.h"

namespace lockstep::smt {
namespace {

using kernel::AccessTrackLayout;

template <typename P>
struct AccessTrack {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;

  /// A leaf whose hardware has no flags, not tracked, with nothing in the saved
  /// bits, as mark_spte_for_access_track() demands.
  static Bool trackable(const AccessTrackLayout& layout, const Word& value) {
    return (value & layout.ad_mask) == layout.ad_disabled && (value & layout.tracked) != 0 &&
           (value & (layout.saved << layout.shift)) == 0;
  }

  static Formula round_trip(Side side, const AccessTrackLayout& layout) {
    const Word spte = P::word("spte");
    AccessTrackLayout saving = layout;
    if (side == Side::broken_rule) saving.saved = 1;
    const Word marked = kernel::mark_for_access_track(saving, spte);
    const Word restored = kernel::restore_access_track(layout, marked);
    // Only a fault sets the accessed bit again: fast_fault().
    const Word kept = spte & ~Word((layout.tracked & ~layout.saved) | layout.accessed);
    return {.precondition = trackable(layout, spte),
            .claim = restored == kept && kernel::is_access_tracked(layout, marked),
            .shown = {{"marked", marked}, {"restored", restored}}};
  }

  static Formula round_trip_6_1(Side side) { return round_trip(side, kernel::access_track_6_1); }
  static Formula round_trip_7_2(Side side) { return round_trip(side, kernel::access_track_7_2); }

  /// To mark twice is to mark once, and marking grants nothing.
  static Formula idempotent(Side side) {
    const Word spte = P::word("spte");
    Bool claim = true;
    const auto& layout = kernel::access_track_6_1;
    const Word once = kernel::mark_for_access_track(layout, spte);
    Word twice = kernel::mark_for_access_track(layout, once);
    if (side == Side::broken_rule) {
      // Without the check of what is tracked already, nothing is left to save.
      twice =
          (once & ~Word(layout.saved << layout.shift)) | ((once & layout.saved) << layout.shift);
    }
    claim = claim && once == twice && (once & layout.tracked) == 0;
    return {.precondition = trackable(layout, spte),
            .claim = claim,
            .shown = {{"marked once", once}, {"marked twice", twice}}};
  }

  static Formula disjoint(Side side) {
    const Word spte = P::word("spte");
    Bool claim = true;
    for (AccessTrackLayout layout : {kernel::access_track_6_1, kernel::access_track_7_2}) {
      if (side == Side::broken_rule) layout.shift += 1;
      const Word saved = layout.saved << layout.shift;
      const Word others = layout.ad_mask | layout.host_writable | layout.mmu_writable |
                          layout.accessed | 0x000f'ffff'ffff'f000ull;
      // No bit of any SPTE means two things.
      claim = claim && implies((spte & saved) != 0, (spte & saved & others) == 0) &&
              (layout.saved & ~layout.tracked) == 0;
    }
    return {.precondition = true, .claim = claim, .shown = {{"bit", spte}}};
  }

  /// KVM keeps: MMU-writable only where host-writable, writable only where
  /// MMU-writable (check_spte_writable_invariants()).
  static Bool writable_invariants(const AccessTrackLayout& layout, const Word& value) {
    return implies((value & layout.mmu_writable) != 0, (value & layout.host_writable) != 0) &&
           implies((value & 2) != 0, (value & layout.mmu_writable) != 0);
  }

  static Formula fast_fault(Side side, const AccessTrackLayout& layout) {
    const Word spte = P::word("spte");
    const Bool write = P::boolean("write");
    AccessTrackLayout seen = layout;
    // The twin asks the host alone.
    if (side == Side::broken_rule) seen.mmu_writable = layout.host_writable;
    const Word fixed = kernel::fast_fault(seen, spte, write, P::boolean("huge-and-logged"));
    const Bool gained = (spte & 2) == 0 && (fixed & 2) != 0;
    const Bool both = (spte & layout.host_writable) != 0 && (spte & layout.mmu_writable) != 0;
    const Word changed =
        (spte ^ fixed) & ~Word(layout.tracked | (layout.saved << layout.shift) | layout.accessed);
    return {.precondition = writable_invariants(layout, spte),
            .claim = implies(gained, write && both) && changed == 0 &&
                     (spte & ~fixed & layout.accessed) == 0 && writable_invariants(layout, fixed),
            .shown = {{"before", spte}, {"after", fixed}}};
  }

  static Formula fast_fault_6_1(Side side) { return fast_fault(side, kernel::access_track_6_1); }
  static Formula fast_fault_7_2(Side side) { return fast_fault(side, kernel::access_track_7_2); }

  /// A huge page of a logged slot stays as it is for a write, whose log is by pages.
  static Formula fast_huge(Side side) {
    const Word spte = P::word("spte");
    const Bool write = P::boolean("write"), logged = P::boolean("huge-and-logged");
    Bool claim = true;
    for (const auto& layout : {kernel::access_track_6_1, kernel::access_track_7_2}) {
      const Bool seen = side == Side::broken_rule ? Bool(false) : logged;
      const Word fixed = kernel::fast_fault<Word>(layout, spte, write, seen);
      claim = claim && implies(logged, (fixed & ~spte & 2) == 0);
    }
    return {.precondition = true, .claim = claim, .shown = {{"before", spte}}};
  }

  /// Reads never gain W, and what was granted before stays granted.
  static Formula fast_read(Side side) {
    const Word spte = P::word("spte");
    const auto& layout = kernel::access_track_6_1;
    const Word fixed = kernel::fast_fault<Word>(layout, spte, side == Side::broken_rule,
                                                P::boolean("huge-and-logged"));
    return {.precondition = writable_invariants(layout, spte),
            .claim = (fixed & ~spte & 2) == 0 && (spte & ~fixed & 7) == 0,
            .shown = {{"before", spte}, {"after", fixed}}};
  }
};

}  // namespace

std::vector<Theorem> access_track_theorems() {
  using S = AccessTrack<Symbolic>;
  using C = AccessTrack<Concrete>;
  const std::string track = "mark_spte_for_access_track(), restore_acc_track_spte()";
  const std::string w61 = "6.1, 6.12: R and X saved at 54 and 56";
  const std::string w72 = "7.2: R, X and XU saved at 52, 54 and 62, accessed bit 8";
  return {
      {"access-track-round-trip", "access-track",
       "what marking takes from an SPTE, restoring gives back, W apart", track, w61,
       "saves R alone", FormulaBody{S::round_trip_6_1, C::round_trip_6_1}, nullptr},
      {"access-track-round-trip-xu", "access-track",
       "the same where user execution has a bit of its own, W and the accessed bit apart", track,
       w72, "saves R alone", FormulaBody{S::round_trip_7_2, C::round_trip_7_2}, nullptr},
      {"access-track-idempotent", "access-track",
       "an SPTE marked twice is one marked once, and grants nothing", track, w61,
       "forgets to look whether it is marked", FormulaBody{S::idempotent, C::idempotent}, nullptr},
      {"access-track-bits-disjoint", "access-track",
       "saved rights share no bit with A/D type, the accessed bit, host- and MMU-writable, or the "
       "address",
       "mmu/spte.h, static asserts", w61 + "; " + w72, "saves one bit higher",
       FormulaBody{S::disjoint, C::disjoint}, nullptr},
      {"fast-fault-restores-write", "access-track",
       "a fault without the lock gains W only for a write, where host- and MMU-writable, and "
       "changes nothing but rights",
       "fast_page_fault(), check_spte_writable_invariants()", w61, "asks the host alone",
       FormulaBody{S::fast_fault_6_1, C::fast_fault_6_1}, nullptr},
      {"fast-fault-restores-write-xu", "access-track",
       "the same where user execution has a bit of its own, but for the accessed bit, which it may "
       "set and never clears",
       "fast_page_fault(), check_spte_writable_invariants()", w72, "asks the host alone",
       FormulaBody{S::fast_fault_7_2, C::fast_fault_7_2}, nullptr},
      {"fast-fault-huge-logged", "access-track",
       "a fault without the lock gives W to no huge page of a slot with a dirty log",
       "fast_page_fault(): leaves such pages to mmu_lock", w61 + "; " + w72,
       "asks for the level of no page", FormulaBody{S::fast_huge, C::fast_huge}, nullptr},
      {"fast-fault-read", "access-track", "a fault without the lock that is no write never gains W",
       "fast_page_fault()", w61, "takes every fault for a write",
       FormulaBody{S::fast_read, C::fast_read}, nullptr},
  };
}

}  // namespace lockstep::smt
