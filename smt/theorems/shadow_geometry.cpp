// SPDX-License-Identifier: GPL-2.0-or-later
/// Which SPTE stands for which address: the formulas of seed 003.
#include "impl/shadow_geometry.h"

#include <fmt/format.h>

#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"
#include "spec/x86/format_rules.h"

namespace lockstep::smt {
namespace {

template <typename P>
struct Geometry {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;

  static Formula three_quadrants(Side side) {
    const Word sptep = P::word("sptep");
    const Word table = sptep & page_mask;
    // As posted: (sptep - sp->spt) % 2 of pointers, ((unsigned long)sptep / 8) & 1,
    // spte_index(sptep) & 1.
    const Word by_difference = ((sptep - table) / 8) % 2;
    const Word by_address = (sptep / 8) & 1;
    Word by_index = impl::quadrant_of_child(sptep);
    if (side == Side::broken_rule) by_index = impl::index_of_entry(sptep) >> 8;
    return {
        .precondition = (sptep & 7) == 0,
        .claim = by_difference == by_address && by_address == by_index,
        .shown = {
            {"by difference", by_difference}, {"by address", by_address}, {"by index", by_index}}};
  }

  /// The child's quadrant by the parent's entry is the linear address's bit 21.
  static Formula quadrant_of_table(Side side) {
    const Word gva = P::word("gva");
    const Word table = P::word("table");
    const Word sptep = table + impl::index_of_address<Word>(gva, 2) * 8;
    const Word by_address = impl::quadrant_of_address<Word>(gva, 1);
    const Word by_entry = side == Side::broken_rule ? impl::index_of_entry(sptep) >> 8
                                                    : impl::quadrant_of_child(sptep);
    return {.precondition = (table & ~page_mask) == 0 && gva < (1ull << 32),
            .claim = by_entry == by_address,
            .shown = {{"by entry", by_entry}, {"by linear address", by_address}}};
  }

  /// Shadow page and index name the guest's entry that the manual's walk reads.
  static Formula guest_entries(Side side) {
    const Word gva = P::word("gva");
    Bool claim = true;
    const Word table = 0;
    const auto index = [&](TableLevel level) {
      return spec::entry_address_of<Word>(PagingMode::bits32, level, table, gva) / 4;
    };
    Word quadrant = impl::quadrant_of_address<Word>(gva, 1);
    if (side == Side::broken_rule) quadrant = 0;
    const Word ours = impl::guest_index<Word>(quadrant, impl::index_of_address<Word>(gva, 1));
    claim = claim && ours == index(TableLevel::pt);
    // Two SPTEs of a page directory stand for one guest entry.
    const Word directory = impl::guest_index<Word>(impl::quadrant_of_address<Word>(gva, 2),
                                                   impl::index_of_address<Word>(gva, 2));
    claim = claim && directory / 2 == index(TableLevel::pd);
    return {.precondition = gva < (1ull << 32),
            .claim = claim,
            .shown = {{"impl index", ours}, {"manual index", index(TableLevel::pt)}}};
  }

  static Formula indices(Side side) {
    const Word gva = P::word("gva");
    const Word level = P::word("level");
    Word index = impl::index_of_address<Word>(gva, level);
    if (side == Side::broken_rule) index = (gva >> (Word(12) + (level - 1) * 10)) & 511;
    const Word table = P::word("table");
    const Word sptep = table + index * 8;
    Bool claim = impl::index_of_entry(sptep) == index && index < 512;
    Word manual = 0;
    for (unsigned i = 1; i <= 5; ++i) {
      const auto at = static_cast<TableLevel>(i);
      const auto address = spec::entry_address_of<Word>(PagingMode::level5, at, table, gva);
      manual = ite(level == i, address, manual);
    }
    claim = claim && sptep == manual;
    return {.precondition = (table & ~page_mask) == 0 && level >= 1 && level <= 5,
            .claim = claim,
            .shown = {{"impl address", sptep}, {"manual address", manual}}};
  }

  /// What a guest write changes are exactly the SPTEs whose guest entries it hits.
  static Formula followed(Side side) {
    const Bool narrow = P::boolean("narrow");
    const Word level = P::word("level");
    const Word quadrant = P::word("quadrant");
    const Word offset = P::word("offset");
    const Word size = P::word("size");
    const Word entry = P::word("spte");  // any of the shadow page's
    auto found = impl::followed_entries<Word>(narrow, level, quadrant, offset, size);
    if (side == Side::broken_rule) found.count = ite(found.count == 0, Word(0), 1);
    const Bool ours = entry >= found.first && entry - found.first < found.count;
    // Guest entry of an SPTE, and whether the bytes written touch it.
    const Word wide_index = impl::guest_index<Word>(quadrant, entry);
    const Word guest = ite(narrow, ite(level == 2, wide_index / 2, wide_index), entry);
    const Word bytes = ite(narrow, Word(4), 8);
    const Bool theirs = guest * bytes < offset + size && offset < (guest + 1) * bytes;
    const Bool aligned = (offset % bytes) + size <= bytes;
    const Bool sizes = size == 1 || size == 2 || size == 4 || size == 8;
    // A store across two entries zaps the whole page: detect_write_misaligned().
    const Bool role = level >= 1 && level <= 2 && quadrant < ite(level == 1, Word(2), 4);
    const Bool legal_role = ite(narrow, role, level >= 1 && level <= 5 && quadrant == 0);
    return {.precondition = legal_role && sizes && aligned && offset < 4096 && entry < 512,
            .claim = ours == theirs,
            .shown = {{"impl zaps it", ours}, {"the store hits it", theirs}}};
  }

  /// A store that is taken for one to a table in use touches one guest entry.
  static Formula misaligned(Side side) {
    const Bool narrow = P::boolean("narrow");
    const Word offset = P::word("offset");
    const Word size = P::word("size");
    const Bool seen = side == Side::broken_rule ? Bool(false) : narrow;
    const Bool ours = impl::misaligned_store<Word>(seen, offset, size);
    const Word bytes = ite(narrow, Word(4), 8);
    const Bool theirs =
        !(size == 1 && offset % bytes == 0) && (size < 4 || (offset % bytes) + size > bytes);
    return {.precondition = size >= 1 && size <= 8 && offset < 4096 && offset + size <= 4096,
            .claim = ours == theirs,
            .shown = {{"impl: no table", ours}, {"small or across entries", theirs}}};
  }

  static Formula packing(Side side, std::uint64_t access_mask) {
    const Word gfn = P::word("gfn");
    const Word access = P::word("access");
    const Word widest = side == Side::broken_rule ? 1ull << 53 : 1ull << 52;
    const Word packed = impl::pack_translation(gfn, access);
    return {.precondition = gfn < widest && access <= access_mask,
            .claim = impl::translation_gfn(packed) == gfn &&
                     impl::translation_access<Word>(packed, access_mask) == access,
            .shown = {{"packed", packed}, {"gfn read back", impl::translation_gfn(packed)}}};
  }

  static Formula packing_3(Side side) { return packing(side, 7); }
  static Formula packing_4(Side side) { return packing(side, 15); }
};

/// A 4-MByte entry whose two SPTEs must both go when the guest clears it.
std::string followed_program(const Assignment& found) {
  if (!flag_of(found, "narrow") || value_of(found, "level") != 2) return {};
  return "lockstep 1\ntitle  both SPTEs of a page-directory entry of 4 bytes\n"
         "config paging=32-bit mmu=shadow cr4.pse=1\nslot 0 add gpa=0x0 size=0xc00000\n"
         "map 0x400000 gpa=0x400000 rwxu size=4m\n"
         "v0 cpl3 read 0x400000 -> value 0x400b8\nv0 cpl3 read 0x600000 -> value 0x600b8\n"
         "v0 entry pd 0x1000[1] = 0x800000 rwxu ps\nv0 invlpg 0x400000\nv0 invlpg 0x600000\n"
         "v0 cpl3 read 0x400000 -> value 0x800b8\nv0 cpl3 read 0x600000 -> value 0xa00b8\n";
}

}  // namespace

std::vector<Theorem> shadow_geometry_theorems() {
  using S = Geometry<Symbolic>;
  using C = Geometry<Concrete>;
  return {
      {"quadrant-formulas", "shadow-geometry",
       "the three formulas posted for the quadrant of a child agree for every aligned SPTE",
       "seed 003; kvm_mmu_child_role()", "6.1, 6.12, 7.2: 512 SPTEs a page",
       "takes the index's top bit", FormulaBody{S::three_quadrants, C::three_quadrants}, nullptr},
      {"quadrant-of-page-table", "shadow-geometry",
       "the quadrant from the parent's SPTE is bit 21 of the linear address",
       "seed 003; kvm_mmu_child_role()", "6.1, 6.12, 7.2", "takes the index's top bit",
       FormulaBody{S::quadrant_of_table, C::quadrant_of_table}, quadrant_program},
      {"quadrant-names-guest-entry", "shadow-geometry",
       "quadrant and index name the guest entry that the manual's walk reads, at both levels",
       "SDM 32-Bit Paging; get_level1_sp_gpa(), mmu_alloc_root()", "6.1, 6.12, 7.2",
       "forgets the quadrant", FormulaBody{S::guest_entries, C::guest_entries}, quadrant_program},
      {"spte-index", "shadow-geometry",
       "at levels 1 to 5 the SPTE of an address is the entry of the manual's walk, and its index "
       "comes back from its address",
       "SPTE_INDEX(), spte_index()", "6.1, 6.12, 7.2: 9 bits a level", "takes 10 bits a level",
       FormulaBody{S::indices, C::indices}, nullptr},
      {"written-sptes", "shadow-geometry",
       "a guest store of 1, 2, 4 or 8 bytes within an entry zaps exactly the SPTEs of that entry",
       "get_written_sptes()", "6.1, 6.12, 7.2", "zaps one SPTE where an entry has two",
       FormulaBody{S::followed, C::followed}, followed_program, /*scenario=*/true},
      {"misaligned-store", "shadow-geometry",
       "a store is taken for one to a page that is no table exactly if it is smaller than 4 bytes "
       "or crosses entries, but for the lowest byte of an entry",
       "detect_write_misaligned()", "6.1, 6.12, 7.2", "takes all entries for 8 bytes",
       FormulaBody{S::misaligned, C::misaligned}, nullptr},
      {"translation-round-trip-3", "shadow-geometry",
       "gfn << 12 | access gives back every gfn of 52 bits and every access of 3 bits",
       "seed 003; kvm_mmu_page_set_translation()", "6.1, 6.12: ACC_ALL is 3 bits",
       "claims gfns of 53 bits", FormulaBody{S::packing_3, C::packing_3}, nullptr},
      {"translation-round-trip-4", "shadow-geometry",
       "gfn << 12 | access gives back every gfn of 52 bits and every access of 4 bits",
       "kvm_mmu_page_set_translation()", "7.2: ACC_ALL is 4 bits", "claims gfns of 53 bits",
       FormulaBody{S::packing_4, C::packing_4}, nullptr},
  };
}

}  // namespace lockstep::smt
