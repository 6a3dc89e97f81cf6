// SPDX-License-Identifier: GPL-2.0-or-later
/// gfn ranges: array indices, alignment, and huge pages within slots.
#include "impl/range_math.h"

#include <fmt/format.h>

#include "smt/theorems/access_case.h"
#include "smt/theorems/theorems.h"

namespace lockstep::smt {
namespace {

template <typename P>
struct Ranges {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;

  /// A slot below gfn 2^40, of at most 2^31 - 1 pages (KVM_MEM_MAX_NR_PAGES).
  struct SlotCase {
    Word base = P::word("base");
    Word pages = P::word("pages");
    Word host = P::word("host-frame");
    Word gfn = P::word("gfn");
    Word level = P::word("level");

    Bool legal() const {
      return base < (1ull << 40) && pages >= 1 && pages < (1ull << 31) && host < (1ull << 40) &&
             gfn >= base && gfn - base < pages && level >= 1 && level <= 3;
    }
  };

  static Formula index_in_array(Side side) {
    const SlotCase slot;
    const Word index = impl::array_index(slot.gfn, slot.base, slot.level);
    // Shifting the difference loses an element where the base is not aligned.
    const Word size = side == Side::broken_rule
                          ? ((slot.pages - 1) >> impl::level_shift(slot.level)) + 1
                          : impl::array_size(slot.base, slot.pages, slot.level);
    return {.precondition = slot.legal(),
            .claim = index < size && index < (1ull << 31),
            .shown = {{"index", index}, {"elements", size}}};
  }

  /// Neighbours share an element exactly if they share a huge page.
  static Formula index_is_exact(Side side) {
    const SlotCase slot;
    const Word other = P::word("other-gfn");
    const auto index = [&](const Word& gfn) {
      if (side == Side::broken_rule) return (gfn - slot.base) >> impl::level_shift(slot.level);
      return impl::array_index(gfn, slot.base, slot.level);
    };
    const Bool one_page =
        impl::round_to_level(slot.gfn, slot.level) == impl::round_to_level(other, slot.level);
    return {.precondition = slot.legal() && other >= slot.base && other - slot.base < slot.pages,
            .claim = (index(slot.gfn) == index(other)) == one_page,
            .shown = {{"index", index(slot.gfn)}, {"other's index", index(other)}}};
  }

  /// What the slot's element of the level says of the gfn when the slot is new.
  static Bool allows(const SlotCase& slot, const Word& base, const Word& host, unsigned level) {
    const auto edges = impl::slot_edges<Word>(base, slot.pages, host, level);
    const Word elements = impl::array_size<Word>(slot.base, slot.pages, level);
    return !impl::edge_forbids(edges, impl::array_index<Word>(slot.gfn, slot.base, level),
                               elements);
  }

  static Bool huge_fits(const SlotCase& slot, const Word& level) {
    const Word size = impl::pages_at(level);
    const Word first = impl::round_to_level(slot.gfn, level);
    return first >= slot.base && first + size <= slot.base + slot.pages &&
           ((slot.base ^ slot.host) & (size - 1)) == 0;
  }

  /// The huge page lies in the slot, and the host's frame is aligned alike.
  static Formula adjust(Side side) {
    const SlotCase slot;
    const auto allowed = [&](unsigned level) {
      if (side == Side::true_rule) return allows(slot, slot.base, slot.host, level);
      auto edges = impl::slot_edges<Word>(slot.base, slot.pages, slot.host, level);
      edges.first = false;
      return !impl::edge_forbids(edges, impl::array_index<Word>(slot.gfn, slot.base, level),
                                 impl::array_size<Word>(slot.base, slot.pages, level));
    };
    const Word level = impl::mapping_level<Word>(slot.level, allowed(2), allowed(3));
    const Word size = impl::pages_at(level);
    const Word first = impl::round_to_level(slot.gfn, level);
    const Word frame = slot.host + (slot.gfn - slot.base);
    const Word adjusted = impl::round_to_level(frame, level);
    const Bool inside = first >= slot.base && first + size <= slot.base + slot.pages;
    const Bool aligned = (adjusted & (size - 1)) == 0;
    // The page that faulted is still translated to its own frame.
    const Bool same = adjusted + (slot.gfn - first) == frame;
    return {.precondition = slot.legal(),
            .claim = level >= 1 && level <= slot.level && inside && aligned && same,
            .shown = {{"level", level}, {"first gfn", first}, {"host frame", adjusted}}};
  }

  /// No higher level would do: what is withheld is withheld for a reason.
  static Formula adjust_is_best(Side side) {
    const SlotCase slot;
    const Word seen = side == Side::broken_rule ? Word(1) : slot.base;
    const Word host = slot.host ^ (slot.base ^ seen);
    const Word level = impl::mapping_level<Word>(slot.level, allows(slot, seen, host, 2),
                                                 allows(slot, seen, host, 3));
    const Word better = level + 1;
    const Bool fits = better <= slot.level && huge_fits(slot, better);
    return {.precondition = slot.legal(), .claim = !fits, .shown = {{"level", level}}};
  }

  /// Flushing the huge page around a gfn covers every address that hardware translates
  /// by the entry of the level that translates the gfn's: the manual selects it by the
  /// address bits above those of the page offset.
  static Formula flush_covers(Side side) {
    const SlotCase slot;
    const Word address = P::word("address");
    const Word first =
        side == Side::broken_rule ? slot.gfn : impl::round_to_level(slot.gfn, slot.level);
    const Word pages = impl::pages_at(slot.level);
    const Word page = address >> 12;
    const Bool translated = ite(slot.level == 1, (address ^ (slot.gfn << 12)) < (1ull << 12),
                                ite(slot.level == 2, (address ^ (slot.gfn << 12)) < (1ull << 21),
                                    (address ^ (slot.gfn << 12)) < (1ull << 30)));
    return {.precondition = slot.legal() && address < (1ull << 52),
            .claim = implies(translated, page >= first && page - first < pages),
            .shown = {{"flush begins at gfn", first}}};
  }

  static impl::FrameRange<Word> any_range() {
    return {
        .first = P::word("first-page"), .end = P::word("end-page"), .empty = P::boolean("empty")};
  }
  /// Of user space, with room for an end past the last byte.
  static Bool host_pages(const Word& first, const Word& end) {
    return first < (1ull << 44) && end < (1ull << 44);
  }

  /// A page is touched exactly if the range has a byte of it.
  static Formula pages_touched(Side side) {
    const Word start = P::word("start"), end = P::word("end"), page = P::word("page");
    const auto pages = impl::pages_of_bytes<Word>(start, end);
    // The twin rounds the end down.
    const Word last = side == Side::broken_rule ? end >> 12 : pages.end;
    const Bool listed = !pages.empty && page >= pages.first && page < last;
    const Bool touched = start < end && start < ((page + 1) << 12) && end > (page << 12);
    return {.precondition = host_pages(start >> 12, end >> 12) && page < (1ull << 44),
            .claim = listed == touched,
            .shown = {{"listed", listed}, {"touched", touched}}};
  }

  /// A page of the slot is told exactly if its host page is in the range.
  static Formula gfns_told(Side side) {
    const Word pages = P::word("pages"), at = P::word("page-of-slot");
    const Word slot_page = P::word("slot-host-page");
    const auto range = any_range();
    const auto told = impl::pages_of_slot<Word>(range, slot_page, pages);
    // The twin takes the last page for one that is not touched.
    const Word end = side == Side::broken_rule ? told.end - 1 : told.end;
    const Word page = slot_page + at;
    const Bool here = !told.empty && at >= told.first && at < end;
    const Bool within = !range.empty && page >= range.first && page < range.end;
    return {.precondition = host_pages(range.first, range.end) && slot_page < (1ull << 44) &&
                            pages < (1ull << 31) && at < pages,
            .claim = here == within,
            .shown = {{"told", here}, {"within", within}}};
  }

  /// No page outside the slot is told.
  static Formula gfns_in_slot(Side side) {
    const Word pages = P::word("pages"), slot_page = P::word("slot-host-page");
    const auto range = any_range();
    const auto told = impl::pages_of_slot<Word>(range, slot_page, pages);
    const Word end = side == Side::broken_rule ? range.end - slot_page : told.end;
    return {.precondition = host_pages(range.first, range.end) && slot_page < (1ull << 44) &&
                            pages >= 1 && pages < (1ull << 31) && !told.empty,
            .claim = told.first < end && end <= pages,
            .shown = {{"first", told.first}, {"end", end}}};
  }
};

/// A notifier of one page, which the guest has written before.
std::string host_range_program(const Assignment&) {
  return "lockstep 1\ntitle  the last page of a range that the host moves\n"
         "config paging=4-level\nslot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 rwxu\n"
         "v0 cpl3 write 0x0 = 0x1 -> ok\nhost migrate hva=0x1ff000 size=0x2000\n"
         "v0 cpl3 read 0x0 -> value 0x1\n";
}

/// Pages at both ends of a slot that begins within a huge page.
std::string edge_program(const Assignment& found) {
  const auto first = 0x1000 * (1 + (value_of(found, "base") & 0xff));
  return fmt::format(
      "lockstep 1\ntitle  a slot that begins within a huge page\n"
      "config paging=4-level mmu=tdp\nslot 0 add gpa=0x0 size=0x200000\n"
      "slot 1 add gpa=0x{0:x} size=0x{1:x} hva=0x{2:x}\n"
      "map 0x200000 gpa=0x200000 rwxu size=2m\n"
      "v0 cpl3 read 0x{0:x} -> value 0x{3:x}\n"
      "v0 cpl3 read 0x200000 -> mmio read gpa=0x200000 size=8\n",
      0x200000 + first, 0x400000 - first, 0x200000 + first,
      0xcccccc00000000b8ull | ((0x200000 + first) >> 12) << 8);
}

}  // namespace

std::vector<Theorem> range_theorems() {
  using S = Ranges<Symbolic>;
  using C = Ranges<Concrete>;
  const std::string told = "__kvm_handle_hva_range(), in 7.2 kvm_handle_hva_range()";
  const std::string sizes = "6.1, 6.12, 7.2: slots below 2^31 pages, gfns below 2^40";
  return {
      {"lpage-index-in-array", "ranges",
       "for every gfn of every slot, at levels 1 to 3, the index of its lpage_info or rmap is "
       "within the array, and never negative",
       "gfn_to_index(), __kvm_mmu_slot_lpages()", sizes, "sizes the array by pages alone",
       FormulaBody{S::index_in_array, C::index_in_array}, edge_program},
      {"lpage-index-exact", "ranges",
       "two gfns of a slot share an element exactly if they share a huge page", "gfn_to_index()",
       sizes, "shifts the difference", FormulaBody{S::index_is_exact, C::index_is_exact}, nullptr},
      {"hugepage-adjust-in-slot", "ranges",
       "the huge page that a fault maps lies in its slot, is aligned on both sides, and translates "
       "the faulting gfn as before, where the slot's host memory is one run of frames",
       "impl: slot_edges(), of host frames; kvm_mmu_hugepage_adjust(), and "
       "kvm_alloc_memslot_metadata(), which compares the alignment of host addresses",
       sizes, "forgets the slot's first partial huge page", FormulaBody{S::adjust, C::adjust},
       edge_program},
      {"hugepage-adjust-is-best", "ranges", "no higher level would fit",
       "kvm_mmu_max_mapping_level()", sizes, "takes every slot to begin within a huge page",
       FormulaBody{S::adjust_is_best, C::adjust_is_best}, nullptr},
      {"host-range-pages", "ranges",
       "the pages of a range of host addresses are those of which it has a byte",
       "hva_to_gfn_memslot() of kvm_handle_hva_range()", "any: host addresses below 2^56",
       "rounds the end down", FormulaBody{S::pages_touched, C::pages_touched}, nullptr},
      {"host-range-gfns", "ranges",
       "a notifier's range of host pages tells a slot of exactly those of its pages that it holds",
       told, sizes + ", host addresses below 2^56", "leaves the last page out",
       FormulaBody{S::gfns_told, C::gfns_told}, host_range_program, /*scenario=*/true},
      {"host-range-in-slot", "ranges",
       "a notifier's range of host pages tells a slot of no page outside it", told,
       sizes + ", host addresses below 2^56", "does not clip at the slot's end",
       FormulaBody{S::gfns_in_slot, C::gfns_in_slot}, nullptr},
      {"flush-range-covers", "ranges",
       "the range flushed for a leaf covers every address that hardware translates by it",
       "SDM 4-Level Paging; kvm_flush_remote_tlbs_sptep(), gfn_round_for_level()",
       "6.12, 7.2: slots below 2^31 pages, gfns below 2^40", "does not round the gfn",
       FormulaBody{S::flush_covers, C::flush_covers}, nullptr},
  };
}

}  // namespace lockstep::smt
