// SPDX-License-Identifier: GPL-2.0-or-later
/// Leaf SPTEs: what they grant, and what splitting keeps.
#include <fmt/format.h>

#include "impl/shadow_geometry.h"
#include "impl/spte.h"
#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"
#include "spec/x86/access_rules.h"
#include "spec/x86/format_rules.h"

namespace lockstep::smt {
namespace {

template <typename P>
struct Leaves {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;

  using Request = impl::LeafRequest<Word>;

  static Request any_request() {
    return {.level = P::word("level"),
            .frame = P::word("frame"),
            .access = P::word("access"),
            .host_writable = P::boolean("host-writable"),
            .read_only = P::boolean("slot-read-only"),
            .tracked = P::boolean("tracked"),
            .nx_huge = P::boolean("nx-huge-pages")};
  }

  /// Levels 1 to 3, frames of 51 address bits, aligned.
  static Bool legal(const Request& request) {
    const Word pages = Word(1) << ((request.level - 1) * 9);
    return request.level >= 1 && request.level <= 3 && request.access <= impl::rights::all &&
           request.frame < (1ull << 39) && (request.frame & (pages - 1)) == 0;
  }

  /// As hardware reads the SPTE: with NX, under 4-level paging.
  static spec::Grant<Bool> granted(const Word& spte) {
    return spec::combine<Word>({true, true, true}, spte, /*has_no_execute=*/true);
  }

  static Formula grants_no_more(Side side) {
    const Request request = any_request();
    Request built = request;
    if (side == Side::broken_rule) built.host_writable = true;
    const Word spte = impl::leaf_spte(built);
    const auto grant = granted(spte);
    const auto guest = [&](impl::Rights right) { return (request.access & right) != 0; };
    const Bool may_write = guest(impl::rights::writable) && request.host_writable &&
                           !request.read_only && !request.tracked;
    const Bool may_execute =
        guest(impl::rights::executable) && !(request.level > 1 && request.nx_huge);
    const Bool claim = grant.writable == may_write && grant.user == guest(impl::rights::user) &&
                       grant.executable == may_execute;
    return {.precondition = legal(request),
            .claim = claim,
            .shown = {{"spte", spte}, {"grants W", grant.writable}, {"may grant W", may_write}}};
  }

  static Formula tracking(Side side) {
    Request request = any_request();
    Request built = request;
    if (side == Side::broken_rule) built.tracked = request.tracked && request.level == 1;
    const Word spte = impl::leaf_spte(built);
    const Bool writable = (spte & entry::writable) != 0;
    const Bool mmu = (spte & impl::spte::mmu_writable) != 0;
    const Bool host = (spte & impl::spte::host_writable) != 0;
    return {.precondition = legal(request),
            .claim = implies(request.tracked, !writable && !mmu) && implies(writable, mmu) &&
                     implies(mmu, host),
            .shown = {{"spte", spte}}};
  }

  /// Hardware never finds a reserved bit in a leaf, and reads the frame back.
  static Formula well_formed(Side side) {
    const Request request = any_request();
    Word spte = impl::leaf_spte(request);
    if (side == Side::broken_rule) spte &= ~Word(entry::page_size);
    const spec::EntryFormat<Word> format = {.mode = PagingMode::level4,
                                            .page_size_extensions = true,
                                            .no_execute = true,
                                            .gigabyte_pages = true,
                                            .amd = true,
                                            .maxphyaddr = 51,
                                            .pse36_width = 40};
    Bool claim = true;
    for (const auto level : {TableLevel::pt, TableLevel::pd, TableLevel::pdpt}) {
      const Bool here = request.level == static_cast<unsigned>(level);
      const Bool good = (spte & spec::entry_reserved(format, level, spte)) == 0 &&
                        spec::entry_maps_page(format, level, spte) &&
                        spec::entry_target(format, level, spte) == (request.frame << 12);
      claim = claim && implies(here, good);
    }
    return {.precondition = legal(request), .claim = claim, .shown = {{"spte", spte}}};
  }

  /// Dirty and accessed flags are set ahead exactly where no hardware need.
  static Formula flags(Side side) {
    Request request = any_request();
    const Word spte = impl::leaf_spte(request);
    const Bool dirty = (spte & entry::dirty) != 0;
    const Bool accessed = (spte & entry::accessed) != 0;
    const Bool writable = (spte & entry::writable) != 0;
    const Bool expected = side == Side::broken_rule ? request.may_write() : writable;
    return {.precondition = legal(request),
            .claim = dirty == expected && accessed,
            .shown = {{"spte", spte}}};
  }

  /// A huge leaf and the address in it: the piece translates it alike, with the same
  /// rights and flags.
  static Formula split(Side side) {
    Request request = any_request();
    const Word gva = P::word("gva");
    const Word index = impl::index_of_address<Word>(gva, request.level - 1);
    const Word huge = impl::leaf_spte(request);
    Word piece = impl::split_spte(huge, request.level, index);
    if (side == Side::broken_rule) piece = impl::split_spte(huge, request.level, index & ~Word(1));
    const auto translate = [&](const Word& spte, const Word& level) {
      const Word offset = (Word(1) << (Word(12) + (level - 1) * 9)) - 1;
      const Word page = spte & entry::address & ~offset;
      return page | (gva & offset);
    };
    const Word before = translate(huge, request.level);
    const Word after = translate(piece, request.level - 1);
    const Word flags = ~Word(entry::address | entry::page_size);
    const Bool still_huge = (piece & entry::page_size) != 0;
    return {
        .precondition = legal(request) && request.level >= 2,
        .claim =
            before == after && ((huge ^ piece) & flags) == 0 && still_huge == (request.level == 3),
        .shown = {
            {"huge", huge}, {"piece", piece}, {"translates to, before", before}, {"after", after}}};
  }

  /// Pieces do not overlap.
  static Formula pieces(Side side) {
    Request request = any_request();
    const Word one = P::word("one");
    const Word other = P::word("other");
    const Word huge = impl::leaf_spte(request);
    const Word seen = side == Side::broken_rule ? other & ~Word(1) : other;
    const Word first = impl::split_spte(huge, request.level, one) & entry::address;
    const Word second = impl::split_spte(huge, request.level, seen) & entry::address;
    const Word size = Word(4096) << ((request.level - 2) * 9);
    return {.precondition = legal(request) && request.level >= 2 && one < other && other < 512,
            .claim = first + size <= second,
            .shown = {{"one begins at", first}, {"the other at", second}}};
  }

  static Formula write_protection(Side side) {
    const Word spte = P::word("spte");
    const Bool for_good = P::boolean("for-good");
    Word now = impl::without_write(spte, for_good);
    if (side == Side::broken_rule) now = impl::without_write<Word>(spte, false);
    const Bool restorable = (now & impl::spte::mmu_writable) != 0;
    return {.precondition = true,
            .claim = (now & entry::writable) == 0 && implies(for_good, !restorable) &&
                     (spte & ~now &
                      ~Word(entry::writable | entry::dirty | impl::spte::mmu_writable)) == 0 &&
                     (now & ~spte) == 0,
            .shown = {{"before", spte}, {"after", now}}};
  }

  /// What the dirty log took a fault gives back, and what is gone for good it does
  /// not: whatever was protected in which order.
  static Formula restore(Side side) {
    const Request request = any_request();
    const Word fresh = impl::leaf_spte(request);
    const Bool for_good = P::boolean("for-good"), again = P::boolean("again-for-good");
    Word now = impl::without_write(impl::without_write(fresh, for_good), again);
    if (side == Side::broken_rule) now = now | (fresh & impl::spte::mmu_writable);
    const Bool restorable = impl::may_restore_write(now);
    const Word restored = impl::with_write(now);
    return {.precondition = legal(request),
            .claim = restorable == (impl::spte_writable(fresh) && !for_good && !again) &&
                     implies(restorable, restored == fresh),
            .shown = {{"before", fresh}, {"protected", now}, {"restored", restored}}};
  }

  /// Whoever kept the old translation may do no more than the new one allows.
  static Formula flush_where_lost(Side side) {
    const Request one = any_request();
    Request other = any_request();
    other.access = P::word("access-now");
    other.frame = P::word("frame-now");
    other.host_writable = P::boolean("host-writable-now");
    other.read_only = P::boolean("slot-read-only-now");
    other.tracked = P::boolean("tracked-now");
    const Word old = impl::leaf_spte(one), now = impl::leaf_spte(other);
    Bool loses = impl::loses_rights(old, now);
    if (side == Side::broken_rule) loses = (old & ~now & (entry::writable | entry::user)) != 0;
    const Bool write = P::boolean("write"), fetch = P::boolean("fetch");
    const spec::Attempt<Bool> attempt = {write, fetch, P::boolean("user"), P::boolean("ac")};
    const spec::RightsControl<Bool> control = {P::boolean("cr0.wp"), P::boolean("cr4.smep"),
                                               P::boolean("cr4.smap"), false,
                                               P::boolean("efer.nx")};
    const auto allowed = [&](const Word& spte) {
      return spec::rights_allow(control, attempt, granted(spte));
    };
    const Bool harmless = implies(allowed(old), allowed(now)) &&
                          ((old ^ now) & (entry::address | entry::page_size)) == 0;
    return {.precondition = legal(one) && legal(other) && !(write && fetch),
            .claim = loses || harmless,
            .shown = {{"before", old}, {"after", now}, {"flushes", loses}}};
  }
};

/// A store through a page that the host protects, or through a page table.
std::string leaf_program(const Assignment& found) {
  const bool tracked = flag_of(found, "tracked");
  if (tracked) {
    return "lockstep 1\ntitle  a page table mapped writable is write-protected\n"
           "config paging=4-level mmu=shadow\nslot 0 add gpa=0x0 size=0x400000\n"
           "map 0x0 gpa=0x200000 rwxu\nmap 0x1000 gpa=0x12000 rwxu\n"
           "v0 cpl3 read 0x0 -> value 0xcccccc00000200b8\n"
           "v0 cpl3 write 0x1000 = 0x201067\nv0 invlpg 0x0\n"
           "v0 cpl3 read 0x0 -> value 0xcccccc00000201b8\n";
  }
  return "lockstep 1\ntitle  a page that the host write-protects\n"
         "config paging=4-level\nslot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 rwxu\n"
         "v0 cpl3 write 0x0 = 0x1 -> ok\nhost protect hva=0x200000 size=0x1000\n"
         "v0 cpl3 read 0x0 -> value 0x1\nv0 cpl3 write 0x0 = 0x2 -> errno EFAULT\n";
}

/// Pages around a piece of a huge page, split by the dirty log.
std::string split_program(const Assignment& found) {
  const auto page = value_of(found, "gva") & 0x1f'f000;
  const auto value = [](std::uint64_t offset) {
    return 0xcccccc00000000b8ull | ((0x200000 + offset) >> 12) << 8;
  };
  const auto other = page ^ 0x1000;
  return fmt::format(
      "lockstep 1\ntitle  pieces of a huge page\nconfig paging=4-level mmu=tdp\n"
      "slot 0 add gpa=0x0 size=0x800000\nmap 0x200000 gpa=0x200000 rwxu size=2m\n"
      "v0 cpl3 read 0x{0:x} -> value 0x{2:x}\nslot 0 flags log\n"
      "v0 cpl3 write 0x{0:x} = 0x1 -> ok\nv0 cpl3 read 0x{1:x} -> value 0x{3:x}\n",
      0x200000 + page, 0x200000 + other, value(page), value(other));
}

}  // namespace

std::vector<Theorem> leaf_theorems() {
  using S = Leaves<Symbolic>;
  using C = Leaves<Concrete>;
  const std::string make = "make_spte()";
  const std::string widths =
      "6.1, 6.12, 7.2, shadow paging and NPT; 3 bits of access (7.2 adds one for reading)";
  const std::string no_dirty = widths + "; impl takes D with W, KVM keeps it";
  return {
      {"leaf-grants-no-more", "leaves",
       "a leaf grants to hardware what the guest's path under the page's role, host, slot and "
       "write "
       "tracking allow, no more and no less",
       make, widths, "forgets that the host withholds W",
       FormulaBody{S::grants_no_more, C::grants_no_more}, leaf_program, /*scenario=*/true},
      {"leaf-of-tracked-page", "leaves",
       "a leaf of a tracked gfn is neither writable nor MMU-writable, and W implies MMU-writable "
       "implies host-writable",
       make + ", mmu_try_to_unsync_pages()", widths, "forgets tracking on huge pages",
       FormulaBody{S::tracking, C::tracking}, nullptr},
      {"leaf-is-well-formed", "leaves",
       "at levels 1 to 3 hardware finds no reserved bit in a leaf, maps a page by it, and reads "
       "the frame back",
       "SDM 4-Level Paging; is_rsvd_spte()", "any host of 51 address bits",
       "forgets PS on huge pages", FormulaBody{S::well_formed, C::well_formed}, nullptr},
      {"leaf-flags", "leaves", "dirty is set ahead where W is, and accessed", make,
       widths + "; over a writable SPTE 6.1 and 6.12 leave D clear, and A of SPTEs made ahead",
       "sets dirty wherever the host could write", FormulaBody{S::flags, C::flags}, nullptr},
      {"split-keeps-translation", "leaves",
       "a piece of a split huge page translates every address as the huge page did, with equal "
       "rights and flags",
       "make_huge_page_split_spte(), in 7.2 make_small_spte()", "6.1, 6.12, 7.2, NX huge pages off",
       "rounds the index to even", FormulaBody{S::split, C::split}, split_program},
      {"split-pieces-disjoint", "leaves", "the 512 pieces of a huge page do not overlap",
       "make_huge_page_split_spte(), in 7.2 make_small_spte()", "6.1, 6.12, 7.2",
       "rounds the index to even", FormulaBody{S::pieces, C::pieces}, nullptr},
      {"write-protection", "leaves",
       "write protection takes W and D, takes MMU-writable where it is for good, and nothing else",
       "spte_write_protect()", no_dirty, "lets W come back on a shadowed table",
       FormulaBody{S::write_protection, C::write_protection}, nullptr},
      {"write-restored", "leaves",
       "a fault may give W back exactly where the leaf had it and nothing was for good, and what "
       "it makes is the leaf as it was",
       "fast_page_fault(), spte_write_protect()", no_dirty,
       "keeps MMU-writable on a shadowed table", FormulaBody{S::restore, C::restore}, nullptr},
      {"flush-where-rights-go", "leaves",
       "a leaf that replaces another without a flush allows every access that the other allowed, "
       "under any registers, and translates alike",
       "SDM Access Rights; mmu_spte_update()", widths, "looks at W and U alone",
       FormulaBody{S::flush_where_lost, C::flush_where_lost}, nullptr},
  };
}

}  // namespace lockstep::smt
