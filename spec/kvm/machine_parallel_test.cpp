// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <cerrno>
#include <utility>

#include "spec/kvm/machine.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

using Kind = Judgement::Kind;
constexpr std::uint64_t rwu = entry::present | entry::writable | entry::user;
constexpr std::uint64_t ad = entry::accessed | entry::dirty;

/// What one command showed, from tick `began` to tick `ended`.
struct Shown {
  unsigned thread = 0;
  Command command;
  Observation observation = Done{};
  std::uint64_t began = 0;
  std::uint64_t ended = 100;
};

/// Gva 0 -> gpa 0x200000 and gva 0x1000 -> 0x201000 through one page table at 0x4000, by
/// two-dimensional paging; slot 0 covers the tables, slot 1 those pages.
class ParallelTest : public testing::Test {
 protected:
  explicit ParallelTest(DirtyLogMode mode = DirtyLogMode::plain, const Platform& platform = tdp())
      : machine(configuration(mode), platform) {
    ok(SlotAdd{0, 0, 0x200000, 0});
    ok(SlotAdd{1, 0x200000, 0x40000, 0x200000, /*log=*/true});
    entry(0x1000, 0, 0x2000 | rwu | ad);
    entry(0x2000, 0, 0x3000 | rwu | ad);
    entry(0x3000, 0, 0x4000 | rwu | ad);
    entry(0x4000, 0, 0x200000 | rwu | entry::accessed);
    entry(0x4000, 1, 0x201000 | rwu | entry::accessed);
    ok(Invlpg{0, 0x5000});
    ok(Invlpg{1, 0x5000});
  }
  static Configuration configuration(DirtyLogMode mode) {
    Configuration configuration;
    configuration.vcpus = 2;
    configuration.dirty_log = mode;
    return configuration;
  }
  static Platform tdp() {
    Platform platform;
    platform.tdp = true;
    return platform;
  }
  Kind kind(const Command& command, const Observation& observation = Done{}) {
    return machine.judge(command, observation).kind;
  }
  void ok(const Command& command, const Observation& observation = Done{}) {
    const Judgement judgement = machine.judge(command, observation);
    EXPECT_EQ(judgement.kind, Kind::admitted) << print(command, PagingMode::level4) << " -> "
                                              << print(observation) << ": " << judgement.why;
  }
  void entry(Gpa table, unsigned index, std::uint64_t value) {
    ok(EntrySet{std::nullopt, TableLevel::pt, table, index, value});
  }
  Kind block(const std::vector<Shown>& all) {
    std::vector<ParallelCommand> commands;
    std::vector<ParallelAnswer> answers;
    for (const Shown& shown : all) {
      commands.push_back({shown.thread, shown.command});
      answers.push_back({shown.observation, shown.began, shown.ended});
    }
    return machine.judge(commands, answers).kind;
  }
  static Access read(unsigned vcpu, Gva gva) { return {vcpu, AccessKind::read, Cpl::user, gva}; }
  static Access write(unsigned vcpu, Gva gva, std::uint64_t value) {
    return {vcpu, AccessKind::write, Cpl::user, gva, value};
  }
  static Value fresh(Hfn hfn) { return {code_cell(static_cast<std::uint32_t>(hfn))}; }
  static DirtyBitmap dirty(std::uint64_t word) { return {0x40, {word}}; }
  static Mmio mmio_read(Gpa gpa) { return {/*write=*/false, gpa, 8, 0}; }

  Machine machine;
};

TEST_F(ParallelTest, ReadSeesAWriteBesideIt) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, read(1, 0), Value{7}}}), Kind::admitted);
}

TEST_F(ParallelTest, ReadDoesNotSeeAWriteBesideIt) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, read(1, 0), fresh(0x200)}}), Kind::admitted);
}

TEST_F(ParallelTest, ReadSeesNoThirdValue) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, read(1, 0), Value{8}}}), Kind::refused);
}

TEST_F(ParallelTest, OrderIsOfRealTime) {
  // The write was over when the read began.
  EXPECT_EQ(block({{0, write(0, 0, 7), Done{}, 0, 1}, {1, read(1, 0), fresh(0x200), 2, 3}}),
            Kind::refused);
}

TEST_F(ParallelTest, ReadsOfOneThreadDoNotGoBack) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, read(1, 0), Value{7}}, {1, read(1, 0), fresh(0x200)}}),
            Kind::refused);
}

TEST_F(ParallelTest, WhichWriteWasLastStaysOpen) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, write(1, 0, 8)}}), Kind::admitted);
  // Whichever order was found first, the other one is found now.
  EXPECT_EQ(kind(read(0, 0), Value{7}), Kind::admitted);
  EXPECT_EQ(kind(read(1, 0), Value{7}), Kind::admitted);
  EXPECT_EQ(kind(read(1, 0), Value{8}), Kind::refused);
}

TEST_F(ParallelTest, TheOtherWriteMayBeLastToo) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, write(1, 0, 8)}}), Kind::admitted);
  EXPECT_EQ(kind(read(0, 0), Value{8}), Kind::admitted);
}

TEST_F(ParallelTest, TwoBlocksAreJudgedTogether) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, write(1, 0, 8)}}), Kind::admitted);
  EXPECT_EQ(block({{0, write(0, 0x1000, 7)}, {1, write(1, 0x1000, 8)}}), Kind::admitted);
  EXPECT_EQ(kind(read(0, 0), Value{7}), Kind::admitted);
  EXPECT_EQ(kind(read(0, 0x1000), Value{7}), Kind::admitted);
  EXPECT_EQ(kind(read(0, 0), Value{8}), Kind::refused);
}

class ParallelShadowTest : public ParallelTest {
 protected:
  ParallelShadowTest() : ParallelTest(DirtyLogMode::plain, Platform{}) {
    entry(0x4000, 3, outside | rwu | entry::accessed);
  }
  static constexpr Gpa outside = 0x8000'0000;
  static Value entry_with(std::uint64_t flags) { return {outside | rwu | flags}; }
};

TEST_F(ParallelShadowTest, AReadOfMmioBesideASlotChangeMaySetTheDirtyFlag) {
  EXPECT_EQ(block({{0, read(0, 0x3000), Mmio{false, outside, 8, 0}},
                   {1, SlotFlags{1, /*log=*/false, false}}}),
            Kind::admitted);
  EXPECT_EQ(kind(Peek{0x4018}, entry_with(ad)), Kind::admitted);
}

TEST_F(ParallelShadowTest, AReadOfMemoryBesideASlotChangeSetsNoDirtyFlag) {
  const Value clean{0x200000 | rwu | entry::accessed}, dirty{0x200000 | rwu | ad};
  EXPECT_EQ(block({{0, read(0, 0), fresh(0x200)}, {1, SlotFlags{1, /*log=*/false, false}}}),
            Kind::admitted);
  EXPECT_EQ(kind(Peek{0x4000}, dirty), Kind::refused);
  EXPECT_EQ(kind(Peek{0x4000}, clean), Kind::admitted);
}

TEST_F(ParallelShadowTest, AMoveChangesSlotsTwice) {
  EXPECT_EQ(block({{0, read(0, 0x3000), Mmio{false, outside, 8, 0}, 0, 10},
                   {1, SlotMove{1, outside}, Done{}, 5, 20},
                   {0, read(0, 0x3000), fresh(0x200), 15, 30}}),
            Kind::admitted);
  EXPECT_EQ(kind(Peek{0x4018}, entry_with(ad)), Kind::admitted);
}

TEST_F(ParallelShadowTest, AReadOfMmioAloneSetsNoDirtyFlag) {
  EXPECT_EQ(block({{0, read(0, 0x3000), Mmio{false, outside, 8, 0}}, {1, Invlpg{1, 0}}}),
            Kind::admitted);
  EXPECT_EQ(kind(Peek{0x4018}, entry_with(ad)), Kind::refused);
}

TEST_F(ParallelTest, StoresWaitInBuffers) {
  // SDM "Loads May Be Reordered with Earlier Stores to Different Locations".
  EXPECT_EQ(block({{0, write(0, 0, 7)},
                   {0, read(0, 0x1000), fresh(0x201)},
                   {1, write(1, 0x1000, 8)},
                   {1, read(1, 0), fresh(0x200)}}),
            Kind::admitted);
}

TEST_F(ParallelTest, BuffersServeTheirOwnProcessor) {
  // SDM "Intra-Processor Forwarding Is Allowed".
  EXPECT_EQ(block({{0, write(0, 0, 7)},
                   {0, read(0, 0), Value{7}},
                   {0, read(0, 0x1000), fresh(0x201)},
                   {1, write(1, 0x1000, 8)},
                   {1, read(1, 0x1000), Value{8}},
                   {1, read(1, 0), fresh(0x200)}}),
            Kind::admitted);
}

TEST_F(ParallelTest, LoadsAreNotReordered) {
  // SDM "Neither Loads Nor Stores Are Reordered with Like Operations".
  EXPECT_EQ(block({{0, write(0, 0, 7)},
                   {0, write(0, 0x1000, 8)},
                   {1, read(1, 0x1000), Value{8}},
                   {1, read(1, 0), fresh(0x200)}}),
            Kind::refused);
}

TEST_F(ParallelTest, LoadDoesNotPassItsOwnStore) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {0, read(0, 0), fresh(0x200)}, {1, Invlpg{1, 0}}}),
            Kind::refused);
}

TEST_F(ParallelTest, WriteBesideDirtyGetIsInThisBitmapOrTheNext) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, DirtyGet{1}, dirty(0)}}), Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(0)), Kind::refused);
}

TEST_F(ParallelTest, WriteBesideDirtyGetThatTookItIsNotOwedAgain) {
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {1, DirtyGet{1}, dirty(1)}}), Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(0)), Kind::admitted);
}

TEST_F(ParallelTest, DirtyGetTakesPageByPage) {
  // The first write came behind its page, the second before its own.
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {0, write(0, 0x1000, 7)}, {1, DirtyGet{1}, dirty(2)}}),
            Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(0)), Kind::refused);
}

TEST_F(ParallelTest, DirtyGetOwesWhatWasWrittenBeforeIt) {
  EXPECT_EQ(block({{0, write(0, 0, 7), Done{}, 0, 1}, {1, DirtyGet{1}, dirty(0), 2, 3}}),
            Kind::refused);
}

TEST_F(ParallelTest, DirtyGetMayMeetTheWalkOfAWriteThatComesLater) {
  // The fault logs the page, the store comes behind the flush and logs it again.
  EXPECT_EQ(
      block({{0, write(0, 0, 7)}, {1, DirtyGet{1}, dirty(1)}, {1, Peek{0x200000}, fresh(0x200)}}),
      Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(0)), Kind::refused);
}

/// A write that took a fault, and ends with a #PF since its entry has gone.
Observation gone() { return PageFault{fault::write | fault::user, 0}; }

TEST_F(ParallelTest, WriteThatEndsInVainMayLogThePageOfItsFirstFault) {
  // Its fault began before the entry went, and logs behind the dirty-get.
  EXPECT_EQ(block({{0, EntrySet{0u, TableLevel::pt, 0x4000, 0, 0}, Done{}, 0, 1},
                   {1, write(1, 0, 7), gone(), 0, 4},
                   {2, DirtyGet{1}, dirty(0), 2, 3}}),
            Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(1)), Kind::admitted);
}

TEST_F(ParallelTest, WriteThatFindsNoEntryLogsNothing) {
  ok(EntrySet{0u, TableLevel::pt, 0x4000, 0, 0});
  ok(Invlpg{1, 0});
  ok(DirtyGet{1}, dirty(0));
  EXPECT_EQ(block({{1, write(1, 0, 7), gone(), 0, 4}, {2, DirtyGet{1}, dirty(0), 2, 3}}),
            Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(1)), Kind::refused);
}

TEST_F(ParallelTest, AccessSeesADirtyFlagBeforeTheStore) {
  const Access entry_read = read(1, 0x2000);
  ok(EntrySet{1u, TableLevel::pt, 0x4000, 2, 0x4000 | rwu | ad});  // maps the table itself
  EXPECT_EQ(block({{0, write(0, 0, 7)},
                   {1, entry_read, Value{0x200000 | rwu | ad}},
                   {1, read(1, 0), fresh(0x200)}}),
            Kind::admitted);
}

TEST_F(ParallelTest, AccessBesideADeleteMeetsTheSlotOrNot) {
  EXPECT_EQ(block({{0, read(0, 0), fresh(0x200)}, {1, SlotDelete{1}}}), Kind::admitted);
  EXPECT_EQ(kind(read(0, 0), fresh(0x200)), Kind::refused);
}

TEST_F(ParallelTest, InvalidSlotIsThereForOneAndGoneForAnother) {
  // The emulator sees the invalid slot, a TLB is not flushed yet.
  EXPECT_EQ(block({{0, read(0, 0), mmio_read(0x200000), 0, 1},
                   {1, read(1, 0), fresh(0x200), 2, 3},
                   {2, SlotDelete{1}, Done{}, 0, 4}}),
            Kind::admitted);
  EXPECT_EQ(kind(read(0, 0), mmio_read(0x200000)), Kind::admitted);
}

TEST_F(ParallelTest, DeleteThatIsOverLeavesNothing) {
  EXPECT_EQ(block({{0, read(0, 0), fresh(0x200), 2, 3}, {1, SlotDelete{1}, Done{}, 0, 1}}),
            Kind::refused);
}

TEST_F(ParallelTest, LoggingBeginsPageByPage) {
  ok(SlotFlags{1, false});
  // The second write went through an entry that was writable still.
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {0, write(0, 0x1000, 8)}, {1, SlotFlags{1, true}}}),
            Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(1)), Kind::admitted);
}

TEST_F(ParallelTest, LoggingThatHasBegunMissesNothing) {
  ok(SlotFlags{1, false});
  EXPECT_EQ(block({{0, write(0, 0, 7), Done{}, 2, 3}, {1, SlotFlags{1, true}, Done{}, 0, 1}}),
            Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(0)), Kind::refused);
}

class ManualParallelTest : public ParallelTest {
 protected:
  ManualParallelTest() : ParallelTest(DirtyLogMode::manual) {}
};

TEST_F(ManualParallelTest, ClearTakesPageByPage) {
  ok(write(0, 0, 1));
  ok(write(0, 0x1000, 1));
  ok(DirtyGet{1}, dirty(3));
  EXPECT_EQ(block({{0, write(0, 0, 7)}, {0, write(0, 0x1000, 8)}, {1, DirtyClear{1, 0, 0x40}}}),
            Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(1)), Kind::admitted);
}

TEST_F(ManualParallelTest, ClearThatIsOverForgetsNothing) {
  EXPECT_EQ(block({{0, write(0, 0, 7), Done{}, 2, 3}, {1, DirtyClear{1, 0, 0x40}, Done{}, 0, 1}}),
            Kind::admitted);
  EXPECT_EQ(kind(DirtyGet{1}, dirty(0)), Kind::refused);
}

TEST_F(ParallelTest, TooManyOrdersStayOpen) {
  std::vector<Shown> many;
  for (unsigned thread = 0; thread < 2; ++thread) {
    for (unsigned i = 0; i < 8; ++i) many.push_back({thread, write(thread, 8 * i, thread)});
  }
  EXPECT_EQ(block(many), Kind::admitted);
  // Any of 12,870 orders ends with one of the two.
  EXPECT_EQ(kind(read(0, 0), Value{2}), Kind::undecided);
}

}  // namespace
}  // namespace lockstep::spec
