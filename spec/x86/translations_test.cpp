// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/x86/translations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace lockstep::spec {
namespace {

constexpr std::uint64_t table_rights = entry::present | entry::writable | entry::user;
constexpr std::uint64_t leaf_rights = table_rights | entry::accessed | entry::dirty;

/// Entries with their history, as a test writes it down.
class Entries : public EntryHistory {
 public:
  void set(Moment now, Gpa gpa, std::uint64_t value) { history_[gpa][now] = value; }
  /// A walk may still meet this value, whatever memory says.
  void hold(Gpa gpa, std::uint64_t value) { held_[gpa] = value; }

  void versions(Gpa gpa, unsigned, Moment since, std::vector<EntryVersion>& out) const override {
    const auto found = history_.find(gpa);
    if (found == history_.end()) {
      out.push_back({0, still_true, 0, 0, true});
      return;
    }
    for (auto it = found->second.begin(); it != found->second.end(); ++it) {
      const auto next = std::next(it);
      const Moment until = next == found->second.end() ? still_true : next->first;
      if (until > since) out.push_back({it->first, until, it->second, 0, true});
    }
    if (const auto held = held_.find(gpa); held != held_.end()) {
      out.push_back({0, still_true, held->second, 0, true, /*held=*/true});
    }
  }

 private:
  std::map<Gpa, std::map<Moment, std::uint64_t>> history_;
  std::map<Gpa, std::uint64_t> held_;
};

/// 4-level tables at 0x1000 (root) .. 0x4000 (pt) that map gva 0 to 0xa000.
class Translations : public testing::Test {
 protected:
  void SetUp() override {
    entries.set(0, 0x1000, 0x2000 | table_rights);
    entries.set(0, 0x2000, 0x3000 | table_rights);
    entries.set(0, 0x3000, 0x4000 | table_rights);
    entries.set(0, 0x4000, 0xa000 | leaf_rights);
    Registers registers;
    registers.root = 0x1000;
    processor = Processor(1, registers);
  }

  std::set<Gpa> pages(Moment now, Gva gva = 0) {
    std::vector<Way> ways;
    EXPECT_TRUE(translations(processor, {}, entries, gva, now, ways));
    std::set<Gpa> result;
    for (const Way& way : ways) {
      result.insert(way.kind == Way::Kind::translated ? way.translation.page : not_present);
    }
    return result;
  }

  static constexpr Gpa not_present = ~0ull;
  Entries entries;
  Processor processor;
};

TEST_F(Translations, OldLeafStaysUntilInvlpg) {
  entries.set(5, 0x4000, 0xb000 | leaf_rights);
  EXPECT_EQ(pages(6), (std::set<Gpa>{0xa000, 0xb000}));
  processor.invlpg(7, 0x1000);
  EXPECT_EQ(pages(8), (std::set<Gpa>{0xa000, 0xb000})) << "another page was invalidated";
  processor.invlpg(9, 0);
  EXPECT_EQ(pages(10), (std::set<Gpa>{0xb000}));
}

TEST_F(Translations, NotPresentIsNeverCached) {
  entries.set(5, 0x4000, 0);
  entries.set(6, 0x4000, 0xb000 | leaf_rights);
  EXPECT_EQ(pages(7), (std::set<Gpa>{0xa000, 0xb000}));
}

TEST_F(Translations, PageFaultDropsTheAddress) {
  entries.set(5, 0x4000, 0);
  EXPECT_EQ(pages(6), (std::set<Gpa>{0xa000, not_present}));
  processor.page_fault(6, 0x123, /*certain=*/true);
  EXPECT_EQ(pages(7), (std::set<Gpa>{not_present}));
}

TEST_F(Translations, WhatAnEntryMeantBeforeAControlChangedStays) {
  Registers registers = processor.registers();
  registers.control.set(ControlBit::efer_nx, true);
  processor = Processor(1, registers);
  entries.set(0, 0x4000, 0xa000 | leaf_rights | entry::no_execute);
  EXPECT_EQ(pages(2), (std::set<Gpa>{0xa000}));
  processor.set_control(3, ControlBit::efer_nx, false, {});
  EXPECT_EQ(pages(4), (std::set<Gpa>{0xa000, not_present})) << "the bit is reserved now";
}

TEST_F(Translations, WhatAWalkMayStillMeetMayBeCachedToo) {
  entries.hold(0x4000, 0xb000 | leaf_rights);
  EXPECT_EQ(pages(2), (std::set<Gpa>{0xa000, 0xb000}));
  std::vector<Way> ways;
  EXPECT_TRUE(translations(processor, {}, entries, 0, 2, ways));
  EXPECT_TRUE(std::any_of(ways.begin(), ways.end(), [](const Way& way) {
    return way.translation.page == 0xb000 && way.cached_leaf;
  }));
}

// A fault drops what is associated with the current PCID; a global translation stays
// associated with the PCID under which it was made.
TEST_F(Translations, PageFaultDropsGlobalsOfItsPcidAlone) {
  Registers registers = processor.registers();
  registers.control.set(ControlBit::cr4_pge, true);
  registers.control.set(ControlBit::cr4_pcide, true);
  processor = Processor(1, registers);
  entries.set(0, 0x4008, 0xa000 | leaf_rights | entry::global);
  entries.set(5, 0x4008, 0);
  processor.load_cr3(6, 0x1000, 1, /*noflush=*/true, {});
  processor.page_fault(7, 0x1123, /*certain=*/true);
  EXPECT_EQ(pages(8, 0x1000), (std::set<Gpa>{0xa000, not_present}));
  processor.load_cr3(9, 0x1000, 0, /*noflush=*/true, {});
  processor.page_fault(10, 0x1123, /*certain=*/true);
  EXPECT_EQ(pages(11, 0x1000), (std::set<Gpa>{not_present}));
}

TEST_F(Translations, UncertainPageFaultCanBeDoubted) {
  entries.set(5, 0x4000, 0);
  processor.page_fault(6, 0x123, /*certain=*/false);
  EXPECT_EQ(pages(7), (std::set<Gpa>{not_present}));
  processor = processor.without_uncertain_drops();
  EXPECT_EQ(pages(7), (std::set<Gpa>{0xa000, not_present}));
}

TEST_F(Translations, PrefixLeadsToAnOldTableReadNow) {
  entries.set(5, 0x3000, 0x5000 | table_rights);  // PDE now refers to another table
  entries.set(5, 0x5000, 0xc000 | leaf_rights);
  processor.invlpg(6, 0);  // drops leaf and prefixes
  EXPECT_EQ(pages(7), (std::set<Gpa>{0xc000}));
  entries.set(8, 0x3000, 0x4000 | table_rights);
  entries.set(9, 0x5000, 0xd000 | leaf_rights);
  EXPECT_EQ(pages(10), (std::set<Gpa>{0xa000, 0xc000, 0xd000}))
      << "fresh, complete as it was, and the cached PDE with the table as it is";
}

TEST_F(Translations, ReadTimesNeverDecrease) {
  // The leaf table changes before the PDE ever refers to it.
  entries.set(2, 0x5000, 0xe000 | leaf_rights);
  entries.set(3, 0x5000, 0xf000 | leaf_rights);
  entries.set(5, 0x3000, 0x5000 | table_rights);
  processor.invlpg(6, 0);
  EXPECT_EQ(pages(7), (std::set<Gpa>{0xf000})) << "0xe000 was gone when the PDE came";
}

TEST_F(Translations, MovCr3SparesGlobalsAndNoflushSparesThePcid) {
  Registers registers = processor.registers();
  registers.control.set(ControlBit::cr4_pge, true);
  registers.control.set(ControlBit::cr4_pcide, true);
  processor = Processor(1, registers);
  entries.set(0, 0x4008, 0xa000 | leaf_rights | entry::global);
  entries.set(5, 0x4000, 0xb000 | leaf_rights);
  entries.set(5, 0x4008, 0xb000 | leaf_rights | entry::global);
  processor.load_cr3(6, 0x1000, 0, /*noflush=*/true, {});
  EXPECT_EQ(pages(7), (std::set<Gpa>{0xa000, 0xb000}));
  processor.load_cr3(8, 0x1000, 0, /*noflush=*/false, {});
  EXPECT_EQ(pages(9), (std::set<Gpa>{0xb000}));
  EXPECT_EQ(pages(9, 0x1000), (std::set<Gpa>{0xa000, 0xb000})) << "global";
  processor.set_control(10, ControlBit::cr4_pge, false, {});
  EXPECT_EQ(pages(11, 0x1000), (std::set<Gpa>{0xb000}));
}

TEST_F(Translations, PcidsAreApart) {
  Registers registers = processor.registers();
  registers.control.set(ControlBit::cr4_pcide, true);
  processor = Processor(1, registers);
  processor.load_cr3(4, 0x1000, 1, false, {});
  entries.set(5, 0x4000, 0xb000 | leaf_rights);
  EXPECT_EQ(pages(6), (std::set<Gpa>{0xa000, 0xb000}));
  processor.invpcid(7, InvpcidType::single, 1, 0);
  EXPECT_EQ(pages(8), (std::set<Gpa>{0xb000}));
  processor.load_cr3(9, 0x1000, 0, /*noflush=*/true, {});
  EXPECT_EQ(pages(10), (std::set<Gpa>{0xa000, 0xb000})) << "PCID 0 kept its own";
  processor.invpcid(11, InvpcidType::all, 0, 0);
  EXPECT_EQ(pages(12), (std::set<Gpa>{0xb000}));
}

TEST_F(Translations, OldRootStaysWithNoflushOnly) {
  entries.set(0, 0x6000, 0x7000 | table_rights);
  Registers registers = processor.registers();
  registers.control.set(ControlBit::cr4_pcide, true);
  processor = Processor(1, registers);
  processor.load_cr3(5, 0x6000, 0, /*noflush=*/true, {});
  EXPECT_EQ(pages(6), (std::set<Gpa>{0xa000, not_present}));
  processor.load_cr3(7, 0x6000, 0, /*noflush=*/false, {});
  EXPECT_EQ(pages(8), (std::set<Gpa>{not_present}));
}

TEST_F(Translations, FreshWalkComesFirst) {
  entries.set(5, 0x4000, 0xb000 | leaf_rights);
  std::vector<Way> ways;
  ASSERT_TRUE(translations(processor, {}, entries, 0, 6, ways));
  EXPECT_EQ(ways.front().translation.page, 0xb000u);
  EXPECT_FALSE(ways.front().stale);
}

}  // namespace
}  // namespace lockstep::spec
