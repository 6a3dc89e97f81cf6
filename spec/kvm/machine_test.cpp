// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/kvm/machine.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "spec/program.h"

namespace lockstep::spec {
namespace {

constexpr std::uint64_t rwu = entry::present | entry::writable | entry::user;
constexpr std::uint64_t ad = entry::accessed | entry::dirty;

/// Gva 0 -> gpa 0x200000 and gva 0x1000 -> 0x201000 through one page table at
/// 0x4000; slot 0 covers 4 MiB at gpa 0.
class MachineTest : public testing::Test {
 protected:
  explicit MachineTest(Configuration c = {}, Platform p = {}) : machine((c.vcpus = 2, c), p) {
    ok(SlotAdd{0, 0, 0x400000, 0});
    entry(0x1000, 0, 0x2000 | rwu);
    entry(0x2000, 0, 0x3000 | rwu);
    entry(0x3000, 0, 0x4000 | rwu);
    entry(0x4000, 0, 0x200000 | rwu);
    entry(0x4000, 1, 0x201000 | rwu);
  }

  bool admits(const Command& command, const Observation& observation) {
    return machine.judge(command, observation).kind == Judgement::Kind::admitted;
  }
  void ok(const Command& command, const Observation& observation = Done{}) {
    const Judgement judgement = machine.judge(command, observation);
    EXPECT_EQ(judgement.kind, Judgement::Kind::admitted)
        << print(command, PagingMode::level4) << " -> " << print(observation) << ", wanted "
        << judgement.why;
  }
  void entry(Gpa table, unsigned index, std::uint64_t value) {
    ok(EntrySet{std::nullopt, TableLevel::pt, table, index, value});
  }
  void guest_entry(Gpa table, unsigned index, std::uint64_t value) {
    ok(EntrySet{0u, TableLevel::pt, table, index, value});
  }
  static Access read(Gva gva, unsigned vcpu = 0) {
    return {vcpu, AccessKind::read, Cpl::user, gva};
  }
  static Access write(Gva gva, std::uint64_t value, unsigned vcpu = 0) {
    return {vcpu, AccessKind::write, Cpl::user, gva, value};
  }
  static Value page(Hfn hfn) { return {code_cell(static_cast<std::uint32_t>(hfn))}; }
  static DirtyBitmap dirty(std::uint64_t word) {
    DirtyBitmap bitmap{0x400, std::vector<std::uint64_t>(16)};
    bitmap.words[8] = word;  // pages 0x200 ..
    return bitmap;
  }
  std::uint64_t used(Looseness l) { return machine.looseness_used()[static_cast<std::size_t>(l)]; }

  Machine machine;
};

TEST_F(MachineTest, ReadsSeeWritesAndFreshPagesNameThemselves) {
  ok(read(0), page(0x200));
  ok(write(0x8, 77));
  ok(read(0x8), Value{77});
  EXPECT_FALSE(admits(read(0x8), Value{78}));
}

TEST_F(MachineTest, FaultsCarryTheirCode) {
  EXPECT_FALSE(admits(read(0x5000), PageFault{fault::user | fault::present, 0x5000}));
}

TEST_F(MachineTest, FaultOnHole) { ok(read(0x5000), PageFault{fault::user, 0x5000}); }

// A walk that is the first to meet a table, and reads it as data: the flags are set before.
TEST_F(MachineTest, ATableThatMapsItselfShowsTheFlagsOfTheFirstWalk) {
  entry(0x4000, 2, 0x4000 | rwu);
  const std::uint64_t plain = 0x4000 | rwu;
  EXPECT_FALSE(admits(read(0x2010), Value{plain}));
}
TEST_F(MachineTest, AndOnlyThose) {
  entry(0x4000, 2, 0x4000 | rwu);
  ok(read(0x2010), Value{0x4000 | rwu | entry::accessed});
}

TEST_F(MachineTest, ADrawWithoutFreedomsIsTheFirstOfThoseAdmitted) {
  ok(read(0), page(0x200));
  guest_entry(0x4000, 0, 0x202000 | rwu);
  const Observation first = machine.admitted(read(0)).front();
  const auto taken = machine.take_plain(read(0));
  EXPECT_EQ(taken.observation, first);
  EXPECT_EQ(taken.observation, Observation(page(0x202)));
  EXPECT_EQ(taken.judgement.kind, Judgement::Kind::admitted);
  EXPECT_EQ(used(Looseness::stale_translation), 0u);
  // Nothing is known of bytes that are no code.
  ok(write(0x1010, 77));
  const auto fetched = machine.take_plain(Access{0, AccessKind::fetch, Cpl::user, 0x1010});
  EXPECT_EQ(fetched.judgement.kind, Judgement::Kind::undecided);
}

TEST_F(MachineTest, StaleTranslationIsAdmittedUntilInvlpg) {
  ok(read(0), page(0x200));
  guest_entry(0x4000, 0, 0x202000 | rwu);
  ok(read(0), page(0x200));
  EXPECT_EQ(used(Looseness::stale_translation), 1u);
  ok(read(0), page(0x202));
  ok(Invlpg{0, 0});
  EXPECT_FALSE(admits(read(0), page(0x200)));
}

TEST_F(MachineTest, AmbiguousWriteLeavesBothPossible) {
  ok(write(0, 1));
  ok(Peek{0x4000}, Value{0x200000 | rwu | ad});
  guest_entry(0x4000, 0, 0x202000 | rwu | ad);
  ok(write(0, 2));
  // Either page may hold the 2; both were asked about before either is read.
  ok(Peek{0x200000}, Value{2});
  EXPECT_FALSE(admits(Peek{0x202000}, Value{3}));
}

TEST_F(MachineTest, AccessedAndDirtyMustBeSetByAFreshWalk) {
  ok(read(0), page(0x200));
  EXPECT_FALSE(admits(Peek{0x4000}, Value{0x200000 | rwu}));
}

TEST_F(MachineTest, DirtyIsNotSetByRead) {
  ok(read(0), page(0x200));
  EXPECT_FALSE(admits(Peek{0x4000}, Value{0x200000 | rwu | ad}));
}

TEST_F(MachineTest, ClearedAccessedFlagMayStayClearWhileCached) {
  ok(read(0), page(0x200));
  guest_entry(0x4000, 0, 0x200000 | rwu);
  ok(read(0), page(0x200));
  ok(Peek{0x4000}, Value{0x200000 | rwu});
  ok(Invlpg{0, 0});
  ok(read(0), page(0x200));
  EXPECT_FALSE(admits(Peek{0x4000}, Value{0x200000 | rwu})) << "the cached copy is gone";
}

TEST_F(MachineTest, SpeculativeAccessedFlagIsALooseness) {
  ok(read(0), page(0x200));
  ok(Peek{0x4008}, Value{0x201000 | rwu | entry::accessed});
  EXPECT_EQ(used(Looseness::speculative_accessed), 1u);
}

TEST_F(MachineTest, ATableThatMapsItselfShowsItsOwnFlags) {
  entry(0x4000, 2, 0x4000 | rwu);
  const std::uint64_t self = 0x4000 | rwu | entry::accessed;
  EXPECT_EQ(machine.admitted(read(0x2010)).front(), Observation{Value{self}});
  ok(read(0x2010), Value{self});
  ok(read(0x2010), Value{self});
}

TEST_F(MachineTest, MmioWithoutSlotAndReadOnlySlot) {
  ok(SlotAdd{1, 0x800000, 0x1000, 0x300000, false, /*read_only=*/true});
  guest_entry(0x4000, 2, 0x900000 | rwu);
  guest_entry(0x4000, 3, 0x800000 | rwu);
  ok(read(0x2008), Mmio{false, 0x900008, 8, 0});
  ok(write(0x2008, 5), Mmio{true, 0x900008, 8, 5});
  ok(read(0x3000), page(0x300));
  ok(write(0x3000, 5), Mmio{true, 0x800000, 8, 5});
  ok(Access{0, AccessKind::fetch, Cpl::user, 0x2000}, Exception{6, 0});
  ok(Access{0, AccessKind::fetch, Cpl::user, 0x3000}, Value{0x300});
}

TEST_F(MachineTest, DeletedSlotIsUnreachableAtOnce) {
  ok(SlotAdd{1, 0x800000, 0x1000, 0x300000});
  guest_entry(0x4000, 2, 0x800000 | rwu);
  ok(read(0x2000), page(0x300));
  ok(SlotDelete{1});
  EXPECT_FALSE(admits(read(0x2000), page(0x300)));
}

TEST_F(MachineTest, SlotErrors) {
  ok(SlotAdd{1, 0x1000, 0x1000, 0}, Errno{EEXIST});
  ok(SlotAdd{1, 0x800800, 0x1000, 0}, Errno{EINVAL});
  ok(SlotAdd{1, 0x800000, 0x800, 0}, Errno{EINVAL});
  ok(SlotDelete{1}, Errno{EINVAL});
  ok(SlotAdd{0, 0, 0x400000, 0x1000}, Errno{EINVAL});
  ok(SlotFlags{0, false, /*read_only=*/true}, Errno{EINVAL});
  ok(SlotFlags{0, false, false}, Done{});
  ok(SlotAdd{1, 1ull << 52, 0x1000, 0}, Errno{EINVAL});
}

TEST_F(MachineTest, DirtyLogShowsEveryWriteOnce) {
  ok(DirtyGet{0}, Errno{ENOENT});
  ok(SlotFlags{0, /*log=*/true, false});
  ok(write(0x1000, 1));
  DirtyBitmap bitmap = dirty(0b10);
  bitmap.words[0] = 0b11110;  // the walk set flags in all four tables
  ok(DirtyGet{0}, bitmap);
  ok(DirtyGet{0}, dirty(0));
  ok(write(0x1000, 2));
  EXPECT_FALSE(admits(DirtyGet{0}, dirty(0)));
}

TEST_F(MachineTest, DirtyLogHasNoUnexplainedPage) {
  ok(SlotFlags{0, true, false});
  EXPECT_FALSE(admits(DirtyGet{0}, dirty(0b1000)));
}

TEST_F(MachineTest, DirtyBitWithoutWriteIsALooseness) {
  ok(write(0, 1));
  ok(SlotFlags{0, true, false});
  ok(read(0), Value{1});
  ok(DirtyGet{0}, dirty(1));
  EXPECT_EQ(used(Looseness::dirty_without_write), 1u);
}

TEST_F(MachineTest, CleanPageIsNotLoggedByARead) {
  ok(SlotFlags{0, true, false});
  ok(read(0x1000), page(0x201));
  EXPECT_FALSE(admits(DirtyGet{0}, dirty(0b10))) << "protect_clean_gpte()";
}

class ManualMachineTest : public MachineTest {
 protected:
  ManualMachineTest()
      : MachineTest([] {
          Configuration c;
          c.dirty_log = DirtyLogMode::manual;
          return c;
        }()) {}
};

TEST_F(ManualMachineTest, GetLeavesBitsUntilClear) {
  ok(write(0, 0));
  ok(SlotFlags{0, true, false});
  ok(write(0, 1));
  ok(DirtyGet{0}, dirty(1));
  ok(DirtyGet{0}, dirty(1));
  ok(DirtyClear{0, 0x201, 64}, Errno{EINVAL});
  ok(DirtyClear{9, 0x200, 64}, Errno{ENOENT});
  ok(DirtyClear{0, 0x200, 64});
  ok(DirtyGet{0}, dirty(0));
}

TEST_F(MachineTest, SecondProcessorHasItsOwnCache) {
  ok(read(0, 1), page(0x200));
  guest_entry(0x4000, 0, 0x202000 | rwu);
  ok(Invlpg{0, 0});
  ok(read(0, 1), page(0x200));
  EXPECT_FALSE(admits(read(0, 0), page(0x200)));
}

TEST_F(MachineTest, ControlsTakeEffectAtOnce) {
  guest_entry(0x4000, 0, 0x200000 | entry::present | entry::user);
  const Access kernel_write{0, AccessKind::write, Cpl::supervisor, 0, 1};
  ok(kernel_write, PageFault{fault::present | fault::write, 0});
  ok(SetControl{0, ControlBit::cr0_wp, false});
  ok(kernel_write, Done{});
}

TEST_F(MachineTest, TranslateReadsMemoryNow) {
  ok(read(0), page(0x200));
  guest_entry(0x4000, 0, 0x202000 | rwu);
  ok(Translate{0, 0x123}, Translation{0x202123});
  EXPECT_FALSE(admits(Translate{0, 0x123}, Translation{0x200123}));
}

TEST_F(MachineTest, AdmittedIsWhatJudgeAdmits) {
  ok(read(0), page(0x200));
  guest_entry(0x4000, 0, 0x202000 | rwu);
  const auto admitted = machine.admitted(read(0));
  ASSERT_EQ(admitted.size(), 2u);
  EXPECT_EQ(admitted.front(), Observation{page(0x202)});
  EXPECT_EQ(admitted.back(), Observation{page(0x200)});
}

class PaeMachineTest : public testing::Test {};

TEST_F(PaeMachineTest, PdptesAreRegisters) {
  Configuration c;
  c.paging = PagingMode::pae;
  Machine machine(c, {});
  const auto ok = [&](const Command& command, const Observation& observation) {
    const Judgement judgement = machine.judge(command, observation);
    EXPECT_EQ(judgement.kind, Judgement::Kind::admitted)
        << print(command, PagingMode::pae) << " -> " << print(observation) << ", wanted "
        << judgement.why;
  };
  const auto entry_at = [&](Gpa table, unsigned index, std::uint64_t value, bool guest) {
    ok(EntrySet{guest ? std::optional(0u) : std::nullopt, TableLevel::pt, table, index, value},
       Done{});
  };
  ok(SlotAdd{0, 0, 0x400000, 0}, Done{});
  entry_at(0x1000, 0, 0x2000 | entry::present, false);
  entry_at(0x2000, 0, 0x200000 | rwu | entry::page_size, false);
  const Access read{0, AccessKind::read, Cpl::user, 0x3000, 0, 4};
  const Value value{static_cast<std::uint32_t>(code_cell(0x203))};
  ok(read, value);
  entry_at(0x1000, 0, 0, true);
  ok(Invlpg{0, 0x3000}, Done{});
  ok(read, value);
  ok(LoadCr3{0, 0x1000}, Done{});
  ok(read, PageFault{fault::user, 0x3000});
  entry_at(0x1000, 0, 0x2000 | entry::present | entry::writable, true);
  ok(LoadCr3{0, 0x1000}, Exception{13, 0});
}

/// Whether a root may be lost is a question about a vCPU, and user space has
/// none: an engine that answers one of its ioctls with what nobody expects is
/// refused like any other, PAE or not.
TEST(MachineOfPae, RefusesAnUnexpectedAnswerToUserSpace) {
  Configuration configuration;
  configuration.paging = PagingMode::pae;
  const SlotAdd add{1, 0x400000, 0x1000, 0x400000};
  for (const Command& command : std::vector<Command>{SlotDelete{1}, SlotMove{1, 0x800000},
                                                     SlotFlags{1, true}, DirtyGet{1}}) {
    Machine machine(configuration, Platform{});
    ASSERT_EQ(machine.judge(add, Done{}).kind, Judgement::Kind::admitted);
    EXPECT_EQ(machine.judge(command, Unexpected{"invariant 26"}).kind, Judgement::Kind::refused);
  }
}

}  // namespace
}  // namespace lockstep::spec
