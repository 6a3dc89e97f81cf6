// SPDX-License-Identifier: GPL-2.0-or-later
/// Entry formats: the masks and shifts of impl/ against the manual's tables.
#include <fmt/format.h>

#include <string>
#include <vector>

#include "impl/reserved_masks.h"
#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"
#include "spec/x86/format_rules.h"

namespace lockstep::smt {
namespace {

/// Levels whose entries a walk reads; a PDPTE of PAE paging is a register.
std::vector<unsigned> levels(PagingMode mode) {
  if (mode == PagingMode::level5) return {1, 2, 3, 4, 5};
  if (mode == PagingMode::level4) return {1, 2, 3, 4};
  return {1, 2};
}

template <typename P>
struct ReservedBits {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;

  /// The registers that decide formats; mode and level stay known.
  struct FormatCase {
    Bool pse = P::boolean("cr4.pse");
    Bool nx = P::boolean("efer.nx");
    Bool gigabyte = P::boolean("page1gb");
    Bool pse36 = P::boolean("pse36");
    Bool amd = P::boolean("amd");
    Word maxphyaddr = P::word("maxphyaddr");
    Word value = P::word("entry");

    /// MAXPHYADDR of every processor that has the mode: 32 to 52.
    Bool legal(PagingMode mode) const {
      const Bool width = maxphyaddr >= 32 && maxphyaddr <= 52;
      return mode == PagingMode::bits32 ? width && value < (1ull << 32) : width;
    }

    spec::EntryFormat<Word> manual(PagingMode mode) const {
      return {.mode = mode,
              .page_size_extensions = pse,
              .no_execute = nx,
              .gigabyte_pages = gigabyte,
              .amd = amd,
              .maxphyaddr = maxphyaddr,
              .pse36_width = ite(pse36, Word(40), 32)};
    }

    impl::ReservedMasks<Word> masks(PagingMode mode) const {
      if (mode == PagingMode::bits32) return impl::reserved_masks_32<Word>(pse, pse36, maxphyaddr);
      if (mode == PagingMode::pae) return impl::reserved_masks_pae<Word>(nx, maxphyaddr);
      return impl::reserved_masks_long<Word>(nx, gigabyte, amd, maxphyaddr);
    }

    /// What a walk of the implementation looks up for the entry.
    Word mask(PagingMode mode, unsigned level) const {
      const auto all = masks(mode);
      return ite((value & entry::page_size) != 0, all[1][level], all[0][level]);
    }
  };

  /// Two words that should be equal at each level, and the first level where they
  /// are not.
  class Levels {
   public:
    void add(unsigned level, const Word& ours, const Word& theirs, const Bool& counts = true) {
      const Bool differs = counts && ours != theirs;
      const Bool first = same_ && differs;
      level_ = ite(first, Word(level), level_);
      ours_ = ite(first, ours, ours_);
      theirs_ = ite(first, theirs, theirs_);
      same_ = same_ && !differs;
    }
    Formula formula(const Bool& precondition) const {
      return {.precondition = precondition,
              .claim = same_,
              .shown = {{"level", level_}, {"impl", ours_}, {"spec", theirs_}}};
    }

   private:
    Bool same_ = true;
    Word level_ = 0, ours_ = 0, theirs_ = 0;
  };

  /// Reserved bits that are set in the entry. What counts is whether there are any:
  /// a bit more or less in an entry that faults anyway nobody can see, and where
  /// masks differ some entry faults by that bit alone. `seen` is the case that the
  /// implementation sees; a twin's is not the given one.
  static Formula masks_formula(PagingMode mode, const FormatCase& seen) {
    const FormatCase given;
    Levels all;
    for (const unsigned level : levels(mode)) {
      const auto table = static_cast<TableLevel>(level);
      const Word ours = given.value & seen.mask(mode, level);
      const Word theirs =
          given.value & spec::entry_reserved(given.manual(mode), table, given.value);
      all.add(level, ours, theirs, (ours == 0) != (theirs == 0));
    }
    return all.formula(given.legal(mode));
  }

  /// A counterexample that a guest of ours can have: Intel, PSE-36 and 1-GByte pages,
  /// and a width that engines offer.
  static void expressible(Formula& formula, Side side) {
    if (side == Side::true_rule) return;
    const FormatCase given;
    formula.precondition = formula.precondition && given.pse36 && given.gigabyte && !given.amd &&
                           given.maxphyaddr >= 36 && given.maxphyaddr <= 46;
  }

  static Formula masks_32(Side side) {
    FormatCase seen;
    if (side == Side::broken_rule) seen.maxphyaddr = 40;
    Formula formula = masks_formula(PagingMode::bits32, seen);
    expressible(formula, side);
    return formula;
  }

  static Formula masks_pae(Side side) {
    FormatCase seen;
    if (side == Side::broken_rule) seen.nx = true;
    Formula formula = masks_formula(PagingMode::pae, seen);
    expressible(formula, side);
    return formula;
  }

  static Formula masks_level4(Side side) {
    FormatCase seen;
    if (side == Side::broken_rule) seen.maxphyaddr = seen.maxphyaddr + 1;
    Formula formula = masks_formula(PagingMode::level4, seen);
    expressible(formula, side);
    return formula;
  }

  static Formula masks_level5(Side side) {
    FormatCase seen;
    // PS does not matter to what is looked up without it.
    if (side == Side::broken_rule) seen.value = seen.value & ~Word(entry::page_size);
    Formula formula = masks_formula(PagingMode::level5, seen);
    expressible(formula, side);
    return formula;
  }

  static Formula masks_without_gigabyte_pages(Side side) {
    FormatCase seen;
    seen.gigabyte = side == Side::broken_rule;
    Formula formula = masks_formula(PagingMode::level4, seen);
    formula.precondition = formula.precondition && !FormatCase{}.gigabyte;
    return formula;
  }

  /// PAE reserves bits 62:52, the long modes ignore them.
  static Formula masks_widest(Side side) {
    const FormatCase given;
    const auto mode = PagingMode::level5;
    const Word high = bit_range<Word>(62, 52);
    const Word pae = impl::reserved_masks_pae<Word>(given.nx, given.maxphyaddr)[0][1];
    Levels all;
    for (const unsigned level : levels(mode)) {
      const Word ours = side == Side::broken_rule ? pae : given.mask(mode, level);
      all.add(level, ours & high, 0);
    }
    Formula formula = all.formula(given.legal(mode));
    formula.claim = formula.claim && (pae & high) == high;
    return formula;
  }

  static Formula pdptes(Side side) {
    const FormatCase given;
    Word ours = impl::reserved_of_pdpte(given.maxphyaddr);
    if (side == Side::broken_rule) ours &= ~Word(entry::no_execute);
    const Word theirs = spec::pdpte_register_reserved(given.maxphyaddr);
    return {.precondition = given.legal(PagingMode::pae),
            .claim = ours == theirs,
            .shown = {{"impl mask", ours}, {"spec mask", theirs}}};
  }

  /// Base of the page or table behind an entry without reserved bits.
  static Formula targets(PagingMode mode, bool broken) {
    const FormatCase given;
    const bool narrow = mode == PagingMode::bits32;
    const Word address_mask = narrow ? entry::address32 : entry::address;
    Levels all;
    for (const unsigned level : levels(mode)) {
      const auto table = static_cast<TableLevel>(level);
      const auto format = given.manual(mode);
      const Bool good = (given.value & spec::entry_reserved(format, table, given.value)) == 0;
      const Bool large = level > 1 && spec::entry_maps_page(format, table, given.value);
      const unsigned shift = 12 + (level - 1) * (narrow ? 10 : 9);
      const Word base =
          impl::large_page_base<Word>(given.value, address_mask, shift, narrow && !broken);
      // The PAT bit of a large page is bit 12; the twin takes it for an address bit.
      const Word wrong = given.value & address_mask & ~bit_range<Word>(20, 13);
      const Word page = broken && !narrow ? wrong : base;
      all.add(level, ite(large, page, given.value & address_mask),
              spec::entry_target(format, table, given.value), good);
    }
    return all.formula(given.legal(mode));
  }

  static Formula targets_32(Side side) {
    return targets(PagingMode::bits32, side == Side::broken_rule);
  }
  static Formula targets_64(Side side) {
    return targets(PagingMode::level5, side == Side::broken_rule);
  }

  static Formula entry_addresses(Side side) {
    const Word table = P::word("table");
    const Word gva = P::word("gva");
    Formula formula{.precondition = (table & ~page_mask) == 0, .claim = true, .shown = {}};
    for (const auto mode :
         {PagingMode::bits32, PagingMode::pae, PagingMode::level4, PagingMode::level5}) {
      const bool narrow = mode == PagingMode::bits32;
      const unsigned bits = narrow && side == Side::true_rule ? 10 : 9;
      for (const unsigned level : levels(mode)) {
        const Word ours = impl::entry_gpa<Word>(table, gva, 12 + (level - 1) * bits,
                                                (1u << (narrow ? 10 : 9)) - 1, narrow ? 4 : 8);
        const Word theirs =
            spec::entry_address_of(mode, static_cast<TableLevel>(level), table, gva);
        formula.claim = formula.claim && ours == theirs;
      }
    }
    return formula;
  }
};

/// A page-table entry in the language: `0x200000 rwxu a d g ps bits=0x200`.
std::string entry_text(std::uint64_t value, bool narrow) {
  const std::uint64_t field = narrow ? entry::address32 : entry::address;
  std::string text =
      fmt::format("0x{:x} r{}{}{}", value & field, (value & entry::writable) != 0 ? 'w' : '-',
                  narrow || (value & entry::no_execute) == 0 ? 'x' : '-',
                  (value & entry::user) != 0 ? 'u' : '-');
  const std::uint64_t named = entry::present | entry::writable | entry::user | field;
  if ((value & entry::page_size) != 0) text += " ps";
  const std::uint64_t nameless = value & ~named & ~(entry::no_execute | entry::page_size) &
                                 bit_range<std::uint64_t>(62, 52) & ~entry::protection_key;
  if (!narrow && nameless != 0) text += fmt::format(" bits=0x{:x}", nameless);
  const auto key = (value & entry::protection_key) >> entry::protection_key_shift;
  if (!narrow && key != 0) text += fmt::format(" pk={}", key);
  return text;
}

const char* paging_name(PagingMode mode) {
  if (mode == PagingMode::bits32) return "32-bit";
  if (mode == PagingMode::pae) return "pae";
  return mode == PagingMode::level4 ? "4-level" : "5-level";
}

/// The mask that the implementation looks up.
std::uint64_t looked_up(const spec::EntryFormat<std::uint64_t>& format, unsigned level,
                        std::uint64_t value) {
  using Masks = impl::ReservedMasks<std::uint64_t>;
  const Masks masks =
      format.mode == PagingMode::bits32 ? impl::reserved_masks_32<std::uint64_t>(
                                              format.page_size_extensions, true, format.maxphyaddr)
      : format.mode == PagingMode::pae
          ? impl::reserved_masks_pae<std::uint64_t>(format.no_execute, format.maxphyaddr)
          : impl::reserved_masks_long<std::uint64_t>(format.no_execute, true, format.amd,
                                                     format.maxphyaddr);
  return masks[(value >> 7) & 1][level];
}

/// The first level at which the entry has a reserved bit, read through.
std::string reserved_program(PagingMode mode, const Assignment& found) {
  const bool narrow = mode == PagingMode::bits32;
  spec::EntryFormat<std::uint64_t> format = {.mode = mode,
                                             .page_size_extensions = flag_of(found, "cr4.pse"),
                                             .no_execute = flag_of(found, "efer.nx"),
                                             .gigabyte_pages = true,
                                             .amd = false,
                                             .maxphyaddr = value_of(found, "maxphyaddr"),
                                             .pse36_width = 40};
  const std::uint64_t value = value_of(found, "entry") | entry::present;
  static constexpr const char* names[] = {"", "pt", "pd", "pdpt", "pml4", "pml5"};
  const unsigned root = levels(mode).back();
  for (const unsigned level : levels(mode)) {
    const auto table_level = static_cast<TableLevel>(level);
    const bool faults =
        (value & spec::entry_reserved<std::uint64_t>(format, table_level, value)) != 0;
    const bool impl_faults = (value & looked_up(format, level, value)) != 0;
    // Where one of the two is broken, it may be either.
    if (!faults && !impl_faults) continue;
    const bool at_root = level == root && mode != PagingMode::pae;
    const unsigned above = mode == PagingMode::pae ? root : root - 1;
    const std::uint64_t table = at_root ? 0x1000 : 0x10000 + 0x1000 * (above - level);
    return fmt::format(
        "lockstep 1\ntitle  reserved bits at level {}\nconfig paging={} mmu=shadow maxphyaddr={}\n"
        "config cr4.pse={} efer.nx={}\nslot 0 add gpa=0x0 size=0x400000\n"
        "map 0x0 gpa=0x200000 rwxu\nentry {} 0x{:x}[0] = {}\n"
        "v0 cpl0 read 0x0{}\n",
        level, paging_name(mode), format.maxphyaddr, format.page_size_extensions ? 1 : 0,
        format.no_execute ? 1 : 0, names[level], table, entry_text(value, narrow),
        faults ? " -> #PF present rsvd 0x0" : "");
  }
  return {};
}

std::string program_32(const Assignment& found) {
  return reserved_program(PagingMode::bits32, found);
}
std::string program_pae(const Assignment& found) {
  return reserved_program(PagingMode::pae, found);
}
std::string program_level4(const Assignment& found) {
  return reserved_program(PagingMode::level4, found);
}
std::string program_level5(const Assignment& found) {
  return reserved_program(PagingMode::level5, found);
}

/// Pages of 2 MBytes, or of 4 MBytes above 4 GiB, whose entries have the PAT bit.
std::string target_program_32(const Assignment&) {
  return "lockstep 1\ntitle  where a large page of 4-byte entries is\n"
         "config paging=32-bit mmu=shadow cr4.pse=1\nslot 0 add gpa=0x0 size=0x400000\n"
         "slot 1 add gpa=0x100400000 size=0x400000 hva=0x400000\n"
         "map 0x0 gpa=0x200000 rwxu\nentry pd 0x1000[1] = 0x403000 rwxu ps\n"
         "v0 cpl3 read 0x0 -> value 0x200b8\nv0 cpl3 read 0x401000 -> value 0x401b8\n";
}
std::string target_program_64(const Assignment&) {
  return "lockstep 1\ntitle  where a large page of 8-byte entries is\n"
         "config paging=4-level mmu=shadow\nslot 0 add gpa=0x0 size=0x800000\n"
         "map 0x0 gpa=0x200000 rwxu\nentry pd 0x11000[2] = 0x401000 rwxu ps\n"
         "v0 cpl3 read 0x0 -> value 0xcccccc00000200b8\n"
         "v0 cpl3 read 0x400000 -> value 0xcccccc00000400b8\n"
         "v0 cpl3 read 0x401000 -> value 0xcccccc00000401b8\n";
}

/// Neighbours at every level of 32-bit paging, where entries have 4 bytes.
std::string address_program(const Assignment&) {
  return "lockstep 1\ntitle  which entry translates an address\n"
         "config paging=32-bit mmu=shadow\nslot 0 add gpa=0x0 size=0x400000\n"
         "map 0x400000 gpa=0x200000 rwxu\nmap 0x401000 gpa=0x201000 rwxu\n"
         "map 0x600000 gpa=0x202000 rwxu\nmap 0x800000 gpa=0x203000 rwxu\n"
         "v0 cpl3 read 0x400000 -> value 0x200b8\nv0 cpl3 read 0x401000 -> value 0x201b8\n"
         "v0 cpl3 read 0x600000 -> value 0x202b8\nv0 cpl3 read 0x800000 -> value 0x203b8\n";
}

}  // namespace

std::vector<Theorem> reserved_bit_theorems() {
  using S = ReservedBits<Symbolic>;
  using C = ReservedBits<Concrete>;
  const std::string tables =
      "SDM Paging, tables of formats; APM, Long-Mode Page Translation; __reset_rsvds_bits_mask()";
  const std::string pse36 =
      "the manual: PSE-36 up to 40 bits; 6.1, 6.12, 7.2 take 36, whatever MAXPHYADDR";
  const std::string vendors = "any, Intel and AMD (which reserves bit 8 of upper entries)";
  return {
      {"reserved-bits-32-bit", "reserved-bits",
       "32-bit paging, MAXPHYADDR 32 to 52, with and without PSE and PSE-36: an entry has a "
       "reserved bit exactly where the manual says so",
       tables, pse36, "takes MAXPHYADDR for 40", FormulaBody{S::masks_32, C::masks_32}, program_32},
      {"reserved-bits-pae", "reserved-bits",
       "PAE paging, MAXPHYADDR 32 to 52: a PDE or PTE has a reserved bit exactly where the manual "
       "says so",
       tables, "any", "takes EFER.NX for granted", FormulaBody{S::masks_pae, C::masks_pae},
       program_pae},
      {"reserved-bits-4-level", "reserved-bits",
       "4-level paging, MAXPHYADDR 32 to 52: an entry of any level has a reserved bit exactly "
       "where "
       "the manual says so",
       tables, vendors, "starts one bit above MAXPHYADDR",
       FormulaBody{S::masks_level4, C::masks_level4}, program_level4},
      {"reserved-bits-5-level", "reserved-bits",
       "5-level paging, MAXPHYADDR 32 to 52: an entry of any level has a reserved bit exactly "
       "where "
       "the manual says so",
       tables, vendors, "looks masks up as if PS were clear",
       FormulaBody{S::masks_level5, C::masks_level5}, program_level5},
      {"reserved-bits-without-1g", "reserved-bits",
       "4-level paging without 1-GByte pages, MAXPHYADDR 32 to 52: PS of a PDPTE is reserved",
       tables, vendors, "takes 1-GByte pages for granted",
       FormulaBody{S::masks_without_gigabyte_pages, C::masks_without_gigabyte_pages}, nullptr},
      {"reserved-bits-widest", "reserved-bits",
       "the masks of 5-level paging leave bits 62:52 alone, those of PAE hold them all", tables,
       vendors, "uses the PAE mask for both", FormulaBody{S::masks_widest, C::masks_widest},
       nullptr},
      {"reserved-bits-pdpte", "reserved-bits",
       "MAXPHYADDR 32 to 52: the mask of PDPTE registers is the manual's",
       "SDM PDPTE Registers; load_pdptrs()", "any", "lets bit 63 pass",
       FormulaBody{S::pdptes, C::pdptes}, nullptr},
      {"entry-target-32-bit", "reserved-bits",
       "an entry without reserved bits refers to the address that the manual gives, PSE-36 "
       "included",
       "SDM 32-Bit Paging; pse36_gfn_delta()", pse36, "forgets address bits 39:32",
       FormulaBody{S::targets_32, C::targets_32}, target_program_32,
       /*scenario=*/true},
      {"entry-target-64-bit", "reserved-bits",
       "8-byte entries: pages of 4 KiB, 2 MiB and 1 GiB and tables are where the manual says",
       "SDM 4-Level Paging and 5-Level Paging; gpte_to_gfn_lvl()", "any",
       "takes the PAT bit of a large page for an address bit",
       FormulaBody{S::targets_64, C::targets_64}, target_program_64,
       /*scenario=*/true},
      {"entry-address", "reserved-bits",
       "in every mode and at every level the walk reads the entry that the manual names",
       "SDM Paging; PT_INDEX()", "any", "uses nine bits a level in 32-bit paging",
       FormulaBody{S::entry_addresses, C::entry_addresses}, address_program, /*scenario=*/true},
  };
}

}  // namespace lockstep::smt
