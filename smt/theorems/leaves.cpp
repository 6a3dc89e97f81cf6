// SPDX-License-Identifier: GPL-2.0-or-later
/// Leaf SPTEs: what they grant, and what splitting keeps.
#include <fmt/format.h>

#include "impl/leaf_formula.h"
#include "impl/shadow_geometry.h"
#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"
#include "spec/x86/access_rules.h"
#include "spec/x86/format_rules.h"

namespace lockstep::smt {
namespace {

using Request = impl::LeafRequest<Word>;

Request any_request() {
  return {.level = Word::variable("level"),
          .frame = Word::variable("frame"),
          .rights = Word::variable("rights"),
          .host_writable = Bool::variable("host-writable"),
          .tracked = Bool::variable("tracked"),
          .nx_huge = Bool::variable("nx-huge-pages"),
          .prefetch = Bool::variable("prefetch")};
}

/// Levels 1 to 3, frames of 51 address bits, aligned.
Bool legal(const Request& request) {
  const Word pages = Word(1) << ((request.level - 1) * 9);
  return request.level >= 1 && request.level <= 3 && request.rights <= impl::rights::all &&
         request.frame < (1ull << 39) && (request.frame & (pages - 1)) == 0;
}

/// As hardware reads the SPTE: with NX, under 4-level paging.
spec::Grant<Bool> granted(const Word& spte) {
  return spec::combine<Word>({true, true, true}, spte, /*has_no_execute=*/true);
}

Formula grants_no_more(Side side) {
  const Request request = any_request();
  Request built = request;
  if (side == Side::broken_rule) built.host_writable = true;
  const Word spte = impl::make_leaf(built);
  const auto grant = granted(spte);
  const auto guest = [&](impl::Rights right) { return (request.rights & right) != 0; };
  const Bool may_write = guest(impl::rights::writable) && request.host_writable && !request.tracked;
  const Bool may_execute =
      guest(impl::rights::executable) && !(request.level > 1 && request.nx_huge);
  const Bool claim = grant.writable == may_write && grant.user == guest(impl::rights::user) &&
                     grant.executable == may_execute;
  return {.precondition = legal(request),
          .claim = claim,
          .shown = {{"spte", spte}, {"grants W", grant.writable}, {"may grant W", may_write}}};
}

Formula tracking(Side side) {
  Request request = any_request();
  Request built = request;
  if (side == Side::broken_rule) built.tracked = request.tracked && request.level == 1;
  const Word spte = impl::make_leaf(built);
  const Bool writable = (spte & entry::writable) != 0;
  const Bool mmu = (spte & impl::leaf_bits::mmu_writable) != 0;
  const Bool host = (spte & impl::leaf_bits::host_writable) != 0;
  return {.precondition = legal(request),
          .claim = implies(request.tracked, !writable && !mmu) && implies(writable, mmu) &&
                   implies(mmu, host),
          .shown = {{"spte", spte}}};
}

/// Hardware never finds a reserved bit in a leaf, and reads the frame back.
Formula well_formed(Side side) {
  const Request request = any_request();
  Word spte = impl::make_leaf(request);
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
Formula flags(Side side) {
  Request request = any_request();
  const Word spte = impl::make_leaf(request);
  const Bool dirty = (spte & entry::dirty) != 0;
  const Bool accessed = (spte & entry::accessed) != 0;
  const Bool writable = (spte & entry::writable) != 0;
  const Bool expected = side == Side::broken_rule ? request.host_writable : writable;
  return {.precondition = legal(request),
          .claim = dirty == expected && accessed == !request.prefetch,
          .shown = {{"spte", spte}}};
}

/// A huge leaf and the address in it: the piece translates it alike, with the same
/// rights and flags.
Formula split(Side side) {
  Request request = any_request();
  const Word gva = Word::variable("gva");
  const Word index = impl::index_of_address<Word>(gva, request.level - 1);
  const Word huge = impl::make_leaf(request);
  Word piece = impl::split_leaf(huge, request.level, index);
  if (side == Side::broken_rule) piece = impl::split_leaf(huge, request.level, index & ~Word(1));
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
Formula pieces(Side side) {
  Request request = any_request();
  const Word one = Word::variable("one");
  const Word other = Word::variable("other");
  const Word huge = impl::make_leaf(request);
  const Word first = impl::split_leaf(huge, request.level, one) & entry::address;
  const Word second = impl::split_leaf(huge, request.level, other) & entry::address;
  const Word size = Word(4096) << ((request.level - 2) * 9);
  const Word bound = side == Side::broken_rule ? 513 : 512;
  return {.precondition = legal(request) && request.level >= 2 && one < other && other < bound,
          .claim = first + size <= second,
          .shown = {{"one begins at", first}, {"the other at", second}}};
}

Formula write_protection(Side side) {
  const Word spte = Word::variable("spte");
  const Bool for_good = Bool::variable("for-good");
  Word now = impl::write_protected(spte, for_good);
  if (side == Side::broken_rule) now = impl::write_protected<Word>(spte, false);
  const Bool restorable = (now & impl::leaf_bits::mmu_writable) != 0;
  return {.precondition = true,
          .claim = (now & entry::writable) == 0 && implies(for_good, !restorable) &&
                   (spte & ~now & ~Word(entry::writable | impl::leaf_bits::mmu_writable)) == 0 &&
                   (now & ~spte) == 0,
          .shown = {{"before", spte}, {"after", now}}};
}

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
         "host protect hva=0x200000 size=0x1000\nv0 cpl3 read 0x0 -> value 0xcccccc00000200b8\n"
         "v0 cpl3 write 0x0 = 0x1 -> errno EFAULT\n";
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
  const std::string make = "make_spte()";
  const std::string widths = "6.1, 6.12, shadow paging and NPT; ACC_ALL is 3 bits";
  return {
      {"leaf-grants-no-more", "leaves",
       "a leaf grants to hardware what guest path, role, host, slot and write tracking allow, no "
       "more and no less",
       make, widths, "forgets that the host withholds W", grants_no_more, leaf_program},
      {"leaf-of-tracked-page", "leaves",
       "a leaf of a tracked gfn is neither writable nor MMU-writable, and W implies MMU-writable "
       "implies host-writable",
       make + ", mmu_try_to_unsync_pages()", widths, "forgets tracking on huge pages", tracking,
       nullptr},
      {"leaf-is-well-formed", "leaves",
       "at levels 1 to 3 hardware finds no reserved bit in a leaf, maps a page by it, and reads "
       "the frame back",
       "SDM 4-Level Paging; is_rsvd_spte()", "any host of 51 address bits",
       "forgets PS on huge pages", well_formed, nullptr},
      {"leaf-flags", "leaves", "dirty is set ahead where W is, accessed unless prefetched", make,
       widths, "sets dirty wherever the host could write", flags, nullptr},
      {"split-keeps-translation", "leaves",
       "a piece of a split huge page translates every address as the huge page did, with equal "
       "rights and flags",
       "make_huge_page_split_spte(), make_small_spte()", "6.1, 6.12, 7.2, NX huge pages off",
       "rounds the index to even", split, split_program},
      {"split-pieces-disjoint", "leaves", "the 512 pieces of a huge page do not overlap",
       "make_huge_page_split_spte(), make_small_spte()", "6.1, 6.12, 7.2", "makes 513 pieces",
       pieces, nullptr},
      {"write-protection", "leaves",
       "write protection takes W, takes MMU-writable where it is for good, and nothing else",
       "spte_write_protect()", widths, "lets W come back on a shadowed table", write_protection,
       nullptr},
  };
}

}  // namespace lockstep::smt
