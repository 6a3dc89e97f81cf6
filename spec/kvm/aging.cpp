// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/aging.h"

#include <fmt/format.h>

#include <algorithm>

#include "spec/kvm/invariant_checks.h"

namespace lockstep::spec {
namespace {

/// Leaves of a range of host addresses that are accessed.
struct Accessed {
  const ViewEntry* must = nullptr;  ///< one that KVM has to find
  Hfn table = 0;                    ///< of `must`
  bool may = false;                 ///< there is any
};

/// Whether a walk by steps passes over the leaf that begins at `gfn`.
bool passed_over(const ViewSlot& slot, Gfn gfn, std::uint64_t size, Hva begin, Hva end) {
  const Gfn first = slot.gfn + (std::max(begin, slot.address) - slot.address) / page_size;
  const Gfn last = slot.gfn + (end - 1 - slot.address) / page_size;
  return gfn > last - (last - first) % size;
}

Accessed accessed(const View& view, Hva address, std::uint64_t pages, AgingWalk walk) {
  // kvm_tdp_mmu_age_gfn_range() may walk valid roots alone, and which leaf hangs below which
  // root stands in no leaf.
  const bool dying = std::ranges::any_of(
      view.pages, [](const auto& each) { return each.second.tdp_mmu && each.second.role.invalid; });
  Accessed found;
  checks::each_leaf(view, [&](const ViewPage& page, const ViewEntry& leaf) {
    if (!leaf.accessed) return;
    const Gfn gfn = checks::first_of(leaf.gfn, page.role.level);
    const std::uint64_t size = 1ull << checks::level_shift(page.role.level);
    // Each slot that maps the page is asked: two may have one host address.
    const ViewSlot* const slot = checks::find_slot(view, page.role.smm, leaf.gfn);
    if (slot == nullptr || gfn < slot->gfn) return;
    const Hva begin = slot->address + (gfn - slot->gfn) * page_size;
    if (begin >= address + pages * page_size || begin + size * page_size <= address) return;
    found.may = true;
    if (walk == AgingWalk::by_steps && !page.tdp_mmu &&
        passed_over(*slot, gfn, size, address, address + pages * page_size)) {
      return;
    }
    if (found.must != nullptr || page.obsolete || (page.tdp_mmu && dying)) return;
    found.must = &leaf;
    found.table = page.table;
  });
  return found;
}

}  // namespace

std::optional<std::string> judge_aging(const AgingAnswers& answers) {
  if (answers.first_young && !answers.young) {
    return "aging: the first page is young, and the range that it begins is not";
  }
  if (answers.still_young) return "aging: the first page is young again, and no guest ran";
  return std::nullopt;
}

std::optional<std::string> judge_aging(const AgingAnswers& answers, const View& before,
                                       const View& after, Hva address, std::uint64_t pages,
                                       AgingWalk walk) {
  const auto tell = [](const Accessed& found, std::string_view what) {
    return fmt::format("aging: leaf {} of gfn {:#x} is accessed, and {}",
                       checks::print(ViewPlace{found.table, found.must->index}), found.must->gfn,
                       what);
  };
  const Accessed first = accessed(before, address, 1, walk);
  if (first.must != nullptr && !answers.first_young) return tell(first, "test_young says old");
  if (!first.may && answers.first_young) {
    return "aging: test_young says young, and no entry of the page was accessed";
  }
  const Accessed all = accessed(before, address, pages, walk);
  if (all.must != nullptr && !answers.young) return tell(all, "clear_young says old");
  if (!all.may && answers.young) {
    return "aging: clear_young says young, and no entry of the range was accessed";
  }
  const Accessed left = accessed(after, address, pages, walk);
  if (left.must != nullptr) return tell(left, "clear_young has just been there");
  return judge_aging(answers);
}

}  // namespace lockstep::spec
