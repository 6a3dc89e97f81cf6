// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/cpu/processor.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

namespace lockstep::spec {
namespace {

constexpr std::uint64_t pwu = entry::present | entry::writable | entry::user;
constexpr AccessRights user_read{AccessKind::read, Cpl::user, false};
constexpr AccessRights user_write{AccessKind::write, Cpl::user, false};

/// Frames 0x100.. are tables of the engine, all others guest pages.
class Frames final : public PhysicalMemory {
 public:
  std::uint64_t* table(Hfn frame) override {
    const auto found = tables.find(frame);
    return found == tables.end() ? nullptr : found->second.data();
  }
  std::uint64_t load(Hfn frame, unsigned offset, unsigned size) override {
    const std::uint64_t value = pages[frame][offset / 8] >> (offset % 8 * 8);
    return size == 8 ? value : value & ((1ull << (size * 8)) - 1);
  }
  void store(Hfn frame, unsigned offset, unsigned, std::uint64_t value) override {
    pages[frame][offset / 8] = value;
  }
  /// Tables 0x100..0x103 map `from` to frame `to`.
  void map(std::uint64_t from, Hfn to, std::uint64_t flags = pwu) {
    for (Hfn level = 4; level > 1; --level) {
      tables[0x104 - level][(from >> (12 + 9 * (level - 1))) & 511] = (0x105 - level) << 12 | pwu;
    }
    tables[0x103][(from >> 12) & 511] = to << 12 | flags;
  }
  std::map<Hfn, std::array<std::uint64_t, 512>> tables;
  std::map<Hfn, std::array<std::uint64_t, 512>> pages;
};

ProcessorState shadow_state() {
  ProcessorState state;
  state.root = 0x100;
  state.paging.control.set(ControlBit::cr0_wp, true);
  state.paging.maxphyaddr = 52;
  return state;
}

Hfn frame_of(const Outcome& outcome) { return std::get<Allowed>(outcome).frame; }

class ShadowCpu : public testing::Test {
 protected:
  Frames frames;
  SoftwareCpu cpu{frames, /*seed=*/0};
  ProcessorState state = shadow_state();
};

TEST_F(ShadowCpu, KeepsTranslationUntilFlushed) {
  frames.map(0x5000, 0x20);
  EXPECT_EQ(frame_of(cpu.access_shadow(state, user_read, 0x5000)), 0x20u);
  frames.tables[0x103][5] = 0;
  EXPECT_TRUE(std::get<Allowed>(cpu.access_shadow(state, user_read, 0x5008)).from_tlb);
  cpu.tlb().flush();
  EXPECT_EQ(std::get<Fault>(cpu.access_shadow(state, user_read, 0x5000)).code, 4u);
}

TEST_F(ShadowCpu, NeverKeepsNotPresent) {
  frames.map(0x5000, 0x20, 0);
  EXPECT_TRUE(std::holds_alternative<Fault>(cpu.access_shadow(state, user_read, 0x5000)));
  frames.map(0x5000, 0x20);
  EXPECT_EQ(frame_of(cpu.access_shadow(state, user_read, 0x5000)), 0x20u);
}

TEST_F(ShadowCpu, SetsAccessedAndDirty) {
  frames.map(0x5000, 0x20);
  (void)cpu.access_shadow(state, user_read, 0x5000);
  EXPECT_EQ(frames.tables[0x103][5] & (entry::accessed | entry::dirty), entry::accessed);
  (void)cpu.access_shadow(state, user_write, 0x5000);
  EXPECT_NE(frames.tables[0x103][5] & entry::dirty, 0u);
  EXPECT_NE(frames.tables[0x100][0] & entry::accessed, 0u);
}

TEST_F(ShadowCpu, MoreRightsAreSeenWithoutAFlush) {
  frames.map(0x5000, 0x20, entry::present | entry::user);
  EXPECT_EQ(frame_of(cpu.access_shadow(state, user_read, 0x5000)), 0x20u);
  EXPECT_EQ(std::get<Fault>(cpu.access_shadow(state, user_write, 0x5000)).code, 7u);
  frames.map(0x5000, 0x20);
  EXPECT_EQ(frame_of(cpu.access_shadow(state, user_write, 0x5000)), 0x20u);
}

TEST_F(ShadowCpu, FreedTableIsReported) {
  frames.map(0x5000, 0x20);
  frames.tables.erase(0x103);
  EXPECT_EQ(std::get<Broken>(cpu.access_shadow(state, user_read, 0x5000)).frame, 0x103u);
}

class NestedCpu : public ShadowCpu {
 protected:
  void SetUp() override {
    state.cr3 = 0x1000;
    for (Hfn gfn = 1; gfn < 8; ++gfn) frames.map(gfn << 12, 0x40 + gfn);
    frames.pages[0x41][0] = 0x2000 | pwu;
    frames.pages[0x42][0] = 0x3000 | pwu;
    frames.pages[0x43][0] = 0x4000 | pwu;
    frames.pages[0x44][1] = 0x5000 | pwu;
  }
};

TEST_F(NestedCpu, WalksBothDimensionsAndMarks) {
  EXPECT_EQ(frame_of(cpu.access_nested(state, user_read, 0x1000)), 0x45u);
  EXPECT_EQ(frames.pages[0x44][1], 0x5000 | pwu | entry::accessed);
  EXPECT_EQ(frame_of(cpu.access_nested(state, user_write, 0x1000)), 0x45u);
  EXPECT_NE(frames.pages[0x44][1] & entry::dirty, 0u);
}

TEST_F(NestedCpu, NamesTheGpaThatIsMissing) {
  frames.tables[0x103][4] = 0;
  const Outcome walk = cpu.access_nested(state, user_read, 0x1000);
  EXPECT_EQ(std::get<NestedFault>(walk).gpa, 0x4008u);
  EXPECT_TRUE(std::get<NestedFault>(walk).table_walk);
  frames.map(0x4000, 0x44);
  frames.map(0x5000, 0x45, entry::present | entry::user);
  const Outcome data = cpu.access_nested(state, user_write, 0x1234);
  EXPECT_EQ(std::get<NestedFault>(data).gpa, 0x5234u);
  EXPECT_EQ(std::get<NestedFault>(data).kind, AccessKind::write);
  EXPECT_FALSE(std::get<NestedFault>(data).table_walk);
}

TEST_F(NestedCpu, SeesThatATranslationIsUsedAfterItsEntryWent) {
  EXPECT_EQ(frame_of(cpu.access_nested(state, user_write, 0x1000)), 0x45u);
  EXPECT_EQ(frame_of(cpu.access_nested(state, user_write, 0x1000)), 0x45u);
  // Fewer rights are enough.
  frames.map(0x5000, 0x45, entry::present | entry::user);
  EXPECT_EQ(frame_of(cpu.access_nested(state, user_read, 0x1000)), 0x45u);
  EXPECT_EQ(std::get<Stale>(cpu.access_nested(state, user_write, 0x1010)).gpa, 0x5010u);
  frames.map(0x5000, 0x46);
  EXPECT_EQ(std::get<Stale>(cpu.access_nested(state, user_read, 0x1000)).frame, 0x45u);
  cpu.tlb().flush();
  EXPECT_EQ(frame_of(cpu.access_nested(state, user_read, 0x1000)), 0x46u);
}

TEST_F(NestedCpu, InvlpgDropsOnePageAndPcidTagsTheRest) {
  frames.pages[0x44][2] = 0x6000 | pwu;
  state.pcid = 3;
  (void)cpu.access_nested(state, user_read, 0x1000);
  (void)cpu.access_nested(state, user_read, 0x2000);
  frames.pages[0x44][1] = frames.pages[0x44][2] = 0;
  cpu.tlb().invalidate_page(0x1fff, 3, /*globals=*/true);
  EXPECT_TRUE(std::holds_alternative<Fault>(cpu.access_nested(state, user_read, 0x1000)));
  EXPECT_EQ(frame_of(cpu.access_nested(state, user_read, 0x2000)), 0x46u);
  state.pcid = 4;
  EXPECT_TRUE(std::holds_alternative<Fault>(cpu.access_nested(state, user_read, 0x2000)));
}

TEST_F(NestedCpu, GlobalsSurviveAndLargePagesGoWhole) {
  state.paging.control.set(ControlBit::cr4_pge, true);
  frames.pages[0x43][1] = 0 | pwu | entry::page_size;
  (void)cpu.access_nested(state, user_read, 0x206000);
  (void)cpu.access_nested(state, user_read, 0x207000);
  frames.pages[0x44][1] |= entry::global;
  (void)cpu.access_nested(state, user_read, 0x1000);
  frames.pages[0x43][0] = frames.pages[0x43][1] = 0;
  cpu.tlb().invalidate_page(0x200000, 0, /*globals=*/true);
  EXPECT_TRUE(std::holds_alternative<Fault>(cpu.access_nested(state, user_read, 0x207000)));
  cpu.tlb().flush_nonglobal();
  EXPECT_EQ(frame_of(cpu.access_nested(state, user_read, 0x1000)), 0x45u);
  cpu.tlb().flush();
  EXPECT_TRUE(std::holds_alternative<Fault>(cpu.access_nested(state, user_read, 0x1000)));
}

TEST_F(ShadowCpu, ShowsATranslationThatTheShadowTablesNoLongerGrant) {
  state.cr3_is_engines = true;
  frames.map(0x5000, 0x20);
  EXPECT_FALSE(cpu.overdue(state)) << "nothing is cached";
  (void)cpu.access_shadow(state, user_write, 0x5000);
  EXPECT_FALSE(cpu.overdue(state));
  frames.map(0x5000, 0x20, entry::present | entry::user);
  ASSERT_TRUE(cpu.overdue(state)) << "it may still be written";
  EXPECT_EQ(cpu.overdue(state)->gpa, 0x5000u);
  EXPECT_TRUE(cpu.overdue(state)->linear);
  ProcessorState other = state;
  other.pcid = 1;
  EXPECT_FALSE(cpu.overdue(other)) << "what another PCID keeps, its own tables judge";
  other = state;
  other.root = 0x101;
  EXPECT_FALSE(cpu.overdue(other));
  frames.map(0x5000, 0x21);
  EXPECT_TRUE(cpu.overdue(state)) << "another frame";
  cpu.tlb().drop(0x5000);
  EXPECT_FALSE(cpu.overdue(state));
  frames.map(0x5000, 0x21, entry::present | entry::user);
  (void)cpu.access_shadow(state, user_read, 0x5000);
  frames.map(0x5000, 0x21, entry::present);
  EXPECT_FALSE(cpu.overdue(state)) << "the guest took it from users, and has to flush";
  frames.tables[0x103][5] = 0;
  EXPECT_TRUE(cpu.overdue(state));
}

TEST_F(NestedCpu, ShowsATranslationThatTheNestedTablesNoLongerGrant) {
  (void)cpu.access_nested(state, user_read, 0x1000);
  EXPECT_FALSE(cpu.overdue(state));
  frames.pages[0x44][1] = 0;
  EXPECT_FALSE(cpu.overdue(state)) << "the guest flushes what it changes itself";
  frames.map(0x5000, 0x45, entry::present | entry::user);
  EXPECT_FALSE(cpu.overdue(state)) << "a write would walk again, to mark the page dirty";
  frames.map(0x5000, 0x46);
  ASSERT_TRUE(cpu.overdue(state));
  EXPECT_EQ(cpu.overdue(state)->gpa, 0x5000u);
  EXPECT_EQ(cpu.overdue(state)->frame, 0x45u);
  state.nested = NestedFormat::ept;
  EXPECT_FALSE(cpu.overdue(state)) << "rights are taken to age a page";
}

TEST(SoftwareCpu, SeededEvictionForgets) {
  Frames frames;
  SoftwareCpu cpu(frames, /*seed=*/7);
  const ProcessorState state = shadow_state();
  frames.map(0x5000, 0x20);
  unsigned walks = 0;
  for (unsigned i = 0; i < 5000; ++i) {
    walks += std::get<Allowed>(cpu.access_shadow(state, user_read, 0x5000)).from_tlb ? 0 : 1;
  }
  EXPECT_GT(walks, 2u);
  EXPECT_LT(walks, 100u);
}

}  // namespace
}  // namespace lockstep::spec
