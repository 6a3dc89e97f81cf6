// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/aging.h"

#include <gtest/gtest.h>

namespace lockstep::spec {
namespace {

constexpr Hva slot_address = 0x40'0000;

/// A slot of 1024 pages; a small leaf maps gfn 8, a huge one 0x200 and what follows.
View mapped() {
  View view;
  ViewSlot slot;
  slot.pages = 1024;
  slot.address = slot_address;
  view.slots.push_back(slot);
  ViewPage small;
  small.table = 0x100;
  small.role.level = 1;
  small.entries.push_back({.index = 8, .kind = ViewEntry::Kind::leaf, .gfn = 8});
  ViewPage huge;
  huge.table = 0x101;
  huge.role.level = 2;
  huge.entries.push_back({.index = 1, .kind = ViewEntry::Kind::leaf, .gfn = 0x200});
  view.pages.emplace(small.table, small);
  view.pages.emplace(huge.table, huge);
  return view;
}
View touched(Hfn table) {
  View view = mapped();
  view.pages.at(table).entries[0].accessed = true;
  return view;
}
constexpr Hva page(std::uint64_t number) { return slot_address + number * page_size; }
bool passes(const AgingAnswers& answers, const View& before, Hva address, std::uint64_t pages) {
  return !judge_aging(answers, before, mapped(), address, pages);
}
constexpr AgingAnswers old{};
constexpr AgingAnswers young{.first_young = true, .young = true};

TEST(Aging, AnAccessedPageIsYoung) {
  EXPECT_TRUE(passes(young, touched(0x100), page(8), 1));
  EXPECT_FALSE(passes(old, touched(0x100), page(8), 1));
  EXPECT_FALSE(passes({.young = true}, touched(0x100), page(8), 1));
  EXPECT_TRUE(passes({.young = true}, touched(0x100), page(7), 2)) << "not the first";
  EXPECT_FALSE(passes(old, touched(0x100), page(7), 2));
}

TEST(Aging, APageThatNothingAccessedIsOld) {
  EXPECT_TRUE(passes(old, mapped(), page(8), 1));
  EXPECT_FALSE(passes(young, mapped(), page(8), 1));
  EXPECT_FALSE(passes({.young = true}, touched(0x100), page(9), 3));
}

TEST(Aging, AHugeLeafStandsForEachOfItsPages) {
  EXPECT_TRUE(passes(young, touched(0x101), page(0x234), 1));
  EXPECT_FALSE(passes(old, touched(0x101), page(0x3ff), 1));
  EXPECT_FALSE(passes(old, touched(0x101), page(0x1ff), 2)) << "the second page is in it";
  EXPECT_TRUE(passes(old, touched(0x101), page(0x1ff), 1));
}

TEST(Aging, AWalkByStepsPassesOverTheLastHugeLeaf) {
  const auto passes = [](Hva address, std::uint64_t pages, bool tdp_mmu = false) {
    View before = touched(0x101);
    for (auto& [table, each] : before.pages) each.tdp_mmu = tdp_mmu;
    return !judge_aging(old, before, before, address, pages, AgingWalk::by_steps);
  };
  EXPECT_TRUE(passes(page(0x1ff), 2)) << "the first page, then one beyond the range";
  EXPECT_TRUE(passes(page(0x1ff), 0x200)) << "the last page of the range is 0x3fe";
  EXPECT_FALSE(passes(page(0x1ff), 0x201)) << "0x3ff is in the range, and in the leaf";
  EXPECT_FALSE(passes(page(0), 0x201)) << "steps from an aligned page miss nothing";
  EXPECT_FALSE(passes(page(0x234), 1));
  EXPECT_FALSE(passes(page(0x1ff), 2, true)) << "the TDP MMU has no rmaps";
  // Addresses in front of the slot belong to no page of it.
  EXPECT_FALSE(passes(slot_address - page_size, 0x202));
}

TEST(Aging, ClearsWhatItFinds) {
  EXPECT_TRUE(judge_aging(young, touched(0x100), touched(0x100), page(8), 1));
  EXPECT_FALSE(judge_aging(old, touched(0x100), touched(0x100), page(9), 1));
}

TEST(Aging, RootsThatDieMayBeForgotten) {
  View view = touched(0x100);
  for (auto& [table, each] : view.pages) each.tdp_mmu = true;
  EXPECT_FALSE(passes(old, view, page(8), 1));
  view.pages.at(0x101).role.invalid = true;
  EXPECT_TRUE(passes(old, view, page(8), 1));
  EXPECT_TRUE(passes(young, view, page(8), 1));
}

TEST(Aging, AnswersAgree) {
  EXPECT_FALSE(judge_aging(young));
  EXPECT_FALSE(judge_aging(old));
  EXPECT_TRUE(judge_aging({.first_young = true}));
  EXPECT_TRUE(judge_aging({.first_young = true, .young = true, .still_young = true}));
}

}  // namespace
}  // namespace lockstep::spec
