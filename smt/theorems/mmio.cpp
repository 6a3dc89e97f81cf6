// SPDX-License-Identifier: GPL-2.0-or-later
/// MMIO SPTEs: what is put in comes out, for every kernel's layout.
#include <fmt/format.h>

#include "impl/mmio_encoding.h"
#include "impl/role.h"
#include "impl/spte.h"
#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::smt {
namespace {

template <typename P>
struct Mmio {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;

  using Layout = impl::MmioLayout<Word>;

  /// Bit 51 is reserved for address widths below 52; a misconfiguration under EPT.
  struct MmioCase {
    Bool ept = P::boolean("ept");
    Bool l1tf = P::boolean("l1tf");
    Word cache_bits = P::word("cache-bits");
    Word phys_bits = P::word("phys-bits");
    Word gfn = P::word("gfn");
    Word access = P::word("access");
    Word generation = P::word("generation");
    Bool suppress_ve = P::boolean("suppress-ve");

    /// EPT's mask has SUPPRESS_VE in 6.12 and 7.2. Of 19 bits both kinds, of 18 one.
    Bool suppresses(unsigned low_bits) const { return low_bits == 7 || suppress_ve; }
    /// REMOVED_SPTE, FROZEN_SPTE.
    Word removed(unsigned low_bits) const {
      return (low_bits == 8 ? Word(0x5a0) : Word(0x1a0)) |
             ite(suppresses(low_bits), Word(entry::no_execute), 0);
    }

    Layout layout(unsigned low_bits) const {
      const Word reserved = (1ull << 51) | entry::present;
      const Word suppress = ite(suppresses(low_bits), Word(entry::no_execute), 0);
      return {.low_bits = low_bits,
              .high_bits = 11,
              .mask = ite(ept, Word(7) | suppress, reserved),
              .value = ite(ept, Word(6), reserved),
              .access_mask = ite(ept, Word(0), impl::rights::writable | impl::rights::user),
              .inverted = impl::inverted_mask<Word>(l1tf, cache_bits),
              .lower_gfn_mask = impl::lower_gfn_mask<Word>(l1tf, cache_bits, phys_bits)};
    }

    /// KVM uses the L1TF mask for caches that see up to 46 bits, and MMIO caching
    /// with a reserved bit up to 51 bits of address.
    Bool legal() const {
      const Bool widths = cache_bits >= 32 && cache_bits <= 46 && phys_bits >= 32 &&
                          phys_bits <= ite(ept, Word(52), 51);
      // The cache sees at least what CPUID says.
      const Bool cached = implies(l1tf, phys_bits <= cache_bits);
      return widths && cached && gfn < (Word(1) << (phys_bits - 12)) && access <= impl::rights::all;
    }
  };

  static Formula round_trip(Side side, unsigned low_bits) {
    const MmioCase given;
    const Layout layout = given.layout(low_bits);
    Layout decoder = layout;
    // The twin reads the generation where the other kernel keeps it.
    if (side == Side::broken_rule) decoder.low_bits = low_bits == 8 ? 7 : 8;
    const Word spte = impl::encode_mmio(layout, given.gfn, given.access, given.generation);
    const Word gfn = impl::decode_mmio_gfn(decoder, spte);
    const Word access = impl::decode_mmio_access(decoder, spte);
    const Word generation = impl::decode_mmio_generation(decoder, spte);
    return {
        .precondition = given.legal(),
        .claim = gfn == given.gfn && access == (given.access & layout.access_mask) &&
                 generation == (given.generation & impl::generation_mask(layout)) &&
                 impl::is_mmio(layout, spte),
        .shown = {{"spte", spte}, {"gfn read back", gfn}, {"generation read back", generation}}};
  }

  static Formula round_trip_6_1(Side side) { return round_trip(side, 8); }
  static Formula round_trip_7_2(Side side) { return round_trip(side, 7); }

  /// A gfn above what L1TF takes away needs the shifted copy.
  static Formula high_gfns(Side side) {
    const MmioCase given;
    const Layout layout = given.layout(8);
    Word spte = impl::encode_mmio(layout, given.gfn, given.access, given.generation);
    if (side == Side::broken_rule) spte &= ~(layout.inverted << impl::inverted_bits);
    const Word gfn = impl::decode_mmio_gfn(layout, spte);
    return {.precondition =
                given.legal() && given.l1tf && given.gfn >= (Word(1) << (given.cache_bits - 17)),
            .claim = gfn == given.gfn,
            .shown = {{"spte", spte}, {"gfn read back", gfn}}};
  }

  /// Every part in bits of its own.
  static Formula disjoint(Side side, unsigned low_bits) {
    const MmioCase given;
    const Layout layout = given.layout(low_bits);
    Layout generations = layout;
    // One more low bit is the MMU-present bit, or the next one below it.
    if (side == Side::broken_rule) generations.low_bits = 9;
    const Word field = impl::generation_field(generations);
    const Word address =
        layout.lower_gfn_mask | layout.inverted | (layout.inverted << impl::inverted_bits);
    const Bool claim = (field & (layout.mask | layout.access_mask | address)) == 0 &&
                       (field & impl::mmu_present) == 0 && (layout.mask & impl::mmu_present) == 0 &&
                       (layout.mask & (layout.access_mask | address)) == 0 &&
                       (layout.value & ~layout.mask) == 0;
    return {.precondition = given.legal(),
            .claim = claim,
            .shown = {{"generation field", field}, {"mask", layout.mask}, {"address", address}}};
  }

  static Formula disjoint_6_1(Side side) { return disjoint(side, 8); }
  static Formula disjoint_7_2(Side side) { return disjoint(side, 7); }

  /// An MMIO SPTE is neither a mapping nor an entry under change.
  static Formula not_present(Side side) {
    const MmioCase given;
    Bool claim = true;
    Word shown = 0;
    for (const unsigned low_bits : {8u, 7u}) {
      const Layout layout = given.layout(low_bits);
      Word spte = impl::encode_mmio(layout, given.gfn, given.access, given.generation);
      if (side == Side::broken_rule) spte = spte | (given.access << 9);
      const Word removed = given.removed(low_bits);
      claim = claim && (spte & impl::mmu_present) == 0 && spte != removed &&
              !impl::is_mmio<Word>(layout, removed);
      shown = spte;
    }
    return {.precondition = given.legal(), .claim = claim, .shown = {{"spte", shown}}};
  }

  /// Whatever the gfn, the address that the L1 cache would look up lies in its top
  /// 32nd, where KVM assumes that no memory is.
  static Formula l1tf_inversion(Side side) {
    const MmioCase given;
    const Word top = bit_range<Word>(given.cache_bits - 1, given.cache_bits - impl::inverted_bits);
    Bool claim = true;
    Word shown_spte = 0, shown_address = 0;
    for (const unsigned low_bits : {7u, 8u}) {
      const Layout layout = given.layout(low_bits);
      Word spte = impl::encode_mmio(layout, given.gfn, given.access, given.generation);
      if (side == Side::broken_rule) spte = spte ^ (layout.inverted & (given.gfn << 12));
      const Word looked_up = spte & bit_range<Word>(given.cache_bits - 1, 12);
      claim = claim && looked_up >= top;
      shown_spte = spte;
      shown_address = looked_up;
    }
    return {.precondition = given.legal() && given.l1tf,
            .claim = claim,
            .shown = {{"spte", shown_spte}, {"address looked up", shown_address}}};
  }

  /// A hit means that the generation's low bits are those of the SPTE, and that no
  /// swap is under way.
  static Formula hits(Side side) {
    const MmioCase given;
    const Word now = P::word("generation-now");
    const Layout layout = given.layout(8);
    const Word spte = impl::encode_mmio(layout, given.gfn, given.access, given.generation);
    // The twin strips the flag, as it strips the high bits.
    const Word seen = side == Side::broken_rule ? now & ~Word(impl::update_in_progress) : now;
    const Bool hit = impl::mmio_hit(layout, spte, seen);
    const Bool same = ((given.generation ^ now) & impl::generation_mask(layout)) == 0;
    return {.precondition = given.legal(),
            .claim = hit == (same && (now & impl::update_in_progress) == 0),
            .shown = {{"hit", hit}, {"generations agree", same}}};
  }

  /// Two generations that an SPTE cannot tell apart have a wrap between them, at
  /// which every SPTE goes: in each address space, of one or two.
  static Formula wrap(Side side, unsigned low_bits) {
    const MmioCase given;
    const Layout layout = given.layout(low_bits);
    const Word spaces = P::word("address-spaces");
    const Word space = P::word("address-space");
    const Word later = P::word("later");
    const Word mask = impl::generation_mask(layout);
    // The first generation of this address space with wrapped low bits: the last
    // multiple of the period up to `later`, plus the address space's number.
    const Word at = (later & ~mask) + space;
    const Bool aliased = ((given.generation ^ later) & mask) == 0;
    const Word checked = side == Side::broken_rule ? Word(1) : spaces;
    const Bool zapped = impl::generation_wraps(layout, at, checked);
    const Bool of_space =
        (given.generation & (spaces - 1)) == space && (later & (spaces - 1)) == space;
    return {.precondition = given.legal() && (spaces == 1 || spaces == 2) && space < spaces &&
                            of_space && given.generation < later &&
                            later < impl::update_in_progress && aliased,
            .claim = given.generation < at && at <= later && zapped,
            .shown = {{"generation of the wrap", at}, {"zapped there", zapped}}};
  }

  static Formula wrap_6_1(Side side) { return wrap(side, 8); }
  static Formula wrap_7_2(Side side) { return wrap(side, 7); }

  /// Generations of one swap and the next differ as an SPTE sees them, and the flag
  /// never survives.
  static Formula next(Side side) {
    const MmioCase given;
    const Layout layout = given.layout(7);
    const Word spaces = P::word("address-spaces");
    const Word after = side == Side::broken_rule ? given.generation + spaces
                                                 : impl::next_generation(given.generation, spaces);
    const Bool distinct = ((after ^ given.generation) & impl::generation_mask(layout)) != 0;
    return {.precondition = given.legal() && (spaces == 1 || spaces == 2) &&
                            (given.generation & ~Word(impl::update_in_progress)) < (1ull << 62),
            .claim = distinct && (after & impl::update_in_progress) == 0,
            .shown = {{"next generation", after}}};
  }

  /// The layout that impl/ runs: everything comes back, and nothing else reads it.
  static Formula of_impl(Side side) {
    const MmioCase given;
    Layout layout = impl::mmio::layout<Word>();
    const Word spte = impl::encode_mmio(layout, given.gfn, given.access, given.generation);
    if (side == Side::broken_rule) layout.lower_gfn_mask = layout.lower_gfn_mask >> 1;
    const Word gfn = impl::decode_mmio_gfn(layout, spte);
    const Word access = impl::decode_mmio_access(layout, spte);
    const Word generation = impl::decode_mmio_generation(layout, spte);
    return {.precondition = given.gfn < impl::mmio::end_gfn && given.access <= impl::rights::all,
            .claim = gfn == given.gfn && access == (given.access & layout.access_mask) &&
                     generation == (given.generation & impl::mmio::generation_mask) &&
                     impl::is_mmio(layout, spte) && !impl::spte_present(spte) &&
                     spte != impl::spte::removed &&
                     !impl::is_mmio<Word>(layout, impl::spte::removed),
            .shown = {{"spte", spte}, {"gfn read back", gfn}}};
  }
};

/// MMIO at that gfn, then a slot created there: the entry of the old generation
/// must not be used.
std::string stale_program(const Assignment& found) {
  const auto gfn = 0x400 + (value_of(found, "gfn") & 0x3ff);
  const auto gpa = gfn << 12;
  return fmt::format(
      "lockstep 1\ntitle  an MMIO entry of an old generation\nconfig paging=4-level\n"
      "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x{0:x} rwxu\n"
      "v0 cpl3 read 0x0 -> mmio read gpa=0x{0:x} size=8\n"
      "slot 1 add gpa=0x{0:x} size=0x1000 hva=0x200000\n"
      "v0 cpl3 read 0x0 -> value 0xcccccc00000200b8\n",
      gpa);
}

/// MMIO at a high gfn.
std::string high_gfn_program(const Assignment& found) {
  const auto gpa = ((value_of(found, "gfn") & ((1ull << 24) - 1)) | 1ull << 23) << 12;
  return fmt::format(
      "lockstep 1\ntitle  the gpa of MMIO comes back whole\nconfig paging=4-level\n"
      "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x{0:x} rwxu\n"
      "v0 cpl3 read 0x0 -> mmio read gpa=0x{0:x} size=8\n"
      "v0 cpl3 read 0x8 -> mmio read gpa=0x{1:x} size=8\n",
      gpa, gpa + 8);
}

}  // namespace

std::vector<Theorem> mmio_theorems() {
  using S = Mmio<Symbolic>;
  using C = Mmio<Concrete>;
  const std::string make = "make_mmio_spte(), get_mmio_spte_gfn()";
  const std::string g19 =
      "6.1, 6.12: 19-bit generation at 10:3 and 62:52, EPT without and with SUPPRESS_VE";
  const std::string g18 = "7.2: 18-bit generation at 9:3 and 62:52, EPT with SUPPRESS_VE";
  return {
      {"mmio-spte-round-trip", "mmio",
       "gfn, access and generation come back from an MMIO SPTE, for shadow paging, NPT and EPT, "
       "with and without L1TF, for every width of addresses",
       make, g19, "reads the generation where 7.2 keeps it",
       FormulaBody{S::round_trip_6_1, C::round_trip_6_1}, high_gfn_program},
      {"mmio-spte-round-trip-18", "mmio", "the same for a generation of 18 bits", make, g18,
       "reads the generation where 6.1 keeps it", FormulaBody{S::round_trip_7_2, C::round_trip_7_2},
       high_gfn_program},
      {"mmio-spte-of-impl", "mmio",
       "in the layout that impl runs gfn, access and generation come back, and no MMIO SPTE is "
       "present or being removed",
       make, "impl: 6.1's 19 bits, 51 bits of address, without L1TF", "loses the highest gfn bit",
       FormulaBody{S::of_impl, C::of_impl}, high_gfn_program},
      {"mmio-spte-high-gfn", "mmio",
       "with L1TF a gfn whose top five bits are taken comes back from the shifted copy", make, g19,
       "forgets the copy", FormulaBody{S::high_gfns, C::high_gfns}, high_gfn_program},
      {"mmio-masks-disjoint", "mmio",
       "generation, MMIO mask, access and address bits overlap neither each other nor the "
       "MMU-present bit",
       "mmu/spte.h, static asserts", g19, "gives the generation one more low bit",
       FormulaBody{S::disjoint_6_1, C::disjoint_6_1}, nullptr},
      {"mmio-masks-disjoint-18", "mmio", "the same for a generation of 18 bits",
       "mmu/spte.h, static asserts", g18, "gives the generation two more low bits",
       FormulaBody{S::disjoint_7_2, C::disjoint_7_2}, nullptr},
      {"mmio-spte-maps-nothing", "mmio",
       "an MMIO SPTE is never MMU-present, and an entry that is being removed is never MMIO",
       "is_shadow_present_pte(); is_removed_spte(), in 6.12 and 7.2 is_frozen_spte()",
       g19 + "; " + g18, "stores rights at bits 11:9 too",
       FormulaBody{S::not_present, C::not_present}, nullptr},
      {"l1tf-inversion", "mmio",
       "with L1TF the address in every MMIO SPTE lies in the top 32nd of what the L1 cache sees",
       "kvm_mmu_reset_all_pte_masks()", "6.1, 6.12, 7.2: five bits; " + g19 + "; " + g18,
       "keeps the gfn's own bits", FormulaBody{S::l1tf_inversion, C::l1tf_inversion}, nullptr},
      {"mmio-hit", "mmio",
       "an MMIO SPTE is used only if its generation is the current one and no swap is under way",
       "check_mmio_spte(); ddfd1730fd82", g19, "strips the in-progress flag",
       FormulaBody{S::hits, C::hits}, stale_program, /*scenario=*/true},
      {"mmio-generation-wrap", "mmio",
       "between two generations that an SPTE cannot tell apart every SPTE is zapped, in each of "
       "one or two address spaces",
       "kvm_mmu_invalidate_mmio_sptes(); e1359e2beb8b", g19,
       "looks for the wrap in address space 0 alone", FormulaBody{S::wrap_6_1, C::wrap_6_1},
       nullptr},
      {"mmio-generation-wrap-18", "mmio", "the same for a generation of 18 bits",
       "kvm_mmu_invalidate_mmio_sptes()", g18, "looks for the wrap in address space 0 alone",
       FormulaBody{S::wrap_7_2, C::wrap_7_2}, nullptr},
      {"mmio-generation-next", "mmio",
       "a swap changes the generation as SPTEs see it and clears the in-progress flag",
       "kvm_swap_active_memslots()", g18, "adds to the flag", FormulaBody{S::next, C::next},
       stale_program, /*scenario=*/true},
  };
}

}  // namespace lockstep::smt
