// SPDX-License-Identifier: GPL-2.0-or-later
// What the host does to the machine, and dirty rings.
#include <gtest/gtest.h>

#include <cerrno>

#include "spec/kvm/machine.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

constexpr std::uint64_t rwu = entry::present | entry::writable | entry::user;
constexpr Hva data = 0x20'0000;

/// Gva 0 -> gpa 0x200000 through one page table at 0x4000.
class HostTest : public testing::Test {
 protected:
  void begin(Configuration c = {}, Platform p = {}) {
    machine = std::make_unique<Machine>(c, p);
    ok(SlotAdd{.id = 0, .gpa = 0, .size = 0x400000, .hva = 0});
    for (const Gpa table : {0x1000u, 0x2000u, 0x3000u}) entry(table, 0, (table + 0x1000) | rwu);
    entry(0x4000, 0, data | rwu);
  }
  void entry(Gpa table, unsigned index, std::uint64_t value) {
    ok(EntrySet{std::nullopt, TableLevel::pt, table, index, value});
  }
  Judgement::Kind judge(const Command& command, const Observation& shown) {
    return machine->judge(command, shown).kind;
  }
  void ok(const Command& command, const Observation& shown = Done{}) {
    const Judgement judgement = machine->judge(command, shown);
    EXPECT_EQ(judgement.kind, Judgement::Kind::admitted)
        << print(command, PagingMode::level4) << " -> " << print(shown) << ", wanted "
        << judgement.why;
  }
  void refused(const Command& command, const Observation& shown) {
    EXPECT_EQ(judge(command, shown), Judgement::Kind::refused) << print(shown);
  }
  static Access read() { return {0, AccessKind::read, Cpl::user, 0}; }
  static Access write(std::uint64_t value, Cpl cpl = Cpl::user) {
    return {0, AccessKind::write, cpl, 0, value};
  }
  static HostChange host(HostAction action, Hva hva = data) { return {action, hva, page_size}; }
  static DirtyPages ring(unsigned slot, std::uint64_t page) {
    DirtyPages pages;
    pages.add(slot, page);
    return pages;
  }
  std::uint64_t used(Looseness l) { return machine->looseness_used()[static_cast<std::size_t>(l)]; }

  std::unique_ptr<Machine> machine;
};

TEST_F(HostTest, MmuPagesHaveALeast) {
  begin();
  refused(MmuPages{63}, Done{});
  begin();
  ok(MmuPages{63}, Errno{EINVAL});
  ok(MmuPages{64});
  refused(MmuPages{64}, Errno{EINVAL});
}

/// Whatever the host does but protect and discard, the same observations are
/// admitted afterwards.
TEST_F(HostTest, NoOpsAreNoOps) {
  const Command nothing[] = {host(HostAction::migrate),
                             host(HostAction::age),
                             host(HostAction::split),
                             host(HostAction::collapse),
                             host(HostAction::unprotect),
                             MmuPages{64},
                             Shrink{128},
                             NxRecover{}};
  const Command asked[] = {read(),          write(9),
                           Peek{data},      Peek{0x4000},
                           Translate{0, 0}, EntrySet{0u, TableLevel::pt, 0x4000, 0, 0}};
  for (const Command& no_op : nothing) {
    begin();
    ok(write(7));
    std::vector<std::vector<Observation>> before;
    for (const Command& command : asked) before.push_back(machine->admitted(command));
    refused(no_op, Errno{EFAULT});
    begin();
    ok(write(7));
    ok(no_op);
    for (std::size_t i = 0; i < std::size(asked); ++i) {
      EXPECT_EQ(machine->admitted(asked[i]), before[i]) << print(no_op, PagingMode::level4);
    }
  }
}

TEST_F(HostTest, ProtectedPagesRefuseStores) {
  begin();
  ok(write(7));
  ok(host(HostAction::protect));
  ok(read(), Value{7});
  ok(write(8), Errno{EFAULT});
  ok(read(), Value{7});
  ok(Poke{.gpa = data, .value = 9}, Errno{EFAULT});
  ok(Peek{data}, Value{7});
  refused(write(8), Done{});
  begin();
  ok(host(HostAction::protect));
  ok(host(HostAction::unprotect));
  ok(write(8));
  refused(write(9), Errno{EFAULT});
}

TEST_F(HostTest, AFailedStoreMaySetFlags) {
  begin();
  ok(host(HostAction::protect));
  ok(write(8), Errno{EFAULT});
  constexpr std::uint64_t flags = entry::accessed | entry::dirty;
  const auto admitted = machine->admitted(Peek{0x4000});
  EXPECT_EQ(admitted, (std::vector<Observation>{Value{data | rwu}, Value{data | rwu | flags}}));
}

TEST_F(HostTest, EmulatedStoresBecomeMmio) {
  const Observation mmio = Mmio{true, data, 8, 8};
  begin();
  ok(host(HostAction::protect));
  refused(write(8), mmio);
  Platform pvm;
  pvm.deviations = {"kvm_pvm"};
  begin({}, pvm);
  ok(host(HostAction::protect));
  ok(write(8, Cpl::supervisor), mmio);
  EXPECT_EQ(used(Looseness::emulated_host_write), 1u);
  refused(write(8), mmio);
  Configuration unpaged;
  unpaged.paging = PagingMode::none;
  machine = std::make_unique<Machine>(unpaged, pvm);
  ok(SlotAdd{.id = 0, .gpa = 0, .size = 0x400000, .hva = 0});
  ok(host(HostAction::protect, 0));
  ok(write(8), Mmio{true, 0, 8, 8});
  // A table that KVM shadows, or not.
  begin();
  ok(host(HostAction::protect, 0x4000));
  ok(EntrySet{0u, TableLevel::pt, 0x4000, 1, 5}, Mmio{true, 0x4008, 8, 5});
  ok(EntrySet{0u, TableLevel::pt, 0x4000, 1, 5}, Errno{EFAULT});
  refused(EntrySet{0u, TableLevel::pt, 0x4000, 1, 5}, Done{});
}

TEST_F(HostTest, WalksThroughProtectedTablesAreNotModelled) {
  begin();
  ok(host(HostAction::protect, 0x4000));
  EXPECT_EQ(judge(read(), Value{code_cell(0x200)}), Judgement::Kind::undecided);
}

TEST_F(HostTest, DiscardedPagesAreFresh) {
  begin();
  ok(write(7));
  ok(HostChange{HostAction::discard, data - page_size, 2 * page_size});
  ok(read(), Value{code_cell(0x200)});
  refused(Peek{data}, Value{7});
}

TEST_F(HostTest, DiscardedTablesMayLiveOnInTheirShadow) {
  begin();
  ok(read(), Value{code_cell(0x200)});
  ok(host(HostAction::discard, 0x4000));
  EXPECT_EQ(used(Looseness::host_poke), 1u);
  ok(Peek{0x4000}, Value{code_cell(4)});
  ok(Invlpg{0, 0});
  ok(read(), Value{code_cell(0x200)});
  // Under TDP hardware walks memory as it is.
  Platform tdp;
  tdp.tdp = true;
  begin({}, tdp);
  ok(read(), Value{code_cell(0x200)});
  ok(host(HostAction::discard, 0x4000));
  ok(Invlpg{0, 0});
  refused(read(), Value{code_cell(0x200)});
}

TEST_F(HostTest, ShadowOfAPokedTableOutlivesSlotsWithoutTheQuirk) {
  for (const bool zap_all : {true, false}) {
    Configuration c;
    c.slot_zap_all = zap_all;
    begin(c);
    ok(SlotAdd{.id = 1, .gpa = 0x4000'0000, .size = page_size, .hva = 0x400000});
    ok(read(), Value{code_cell(0x200)});
    ok(host(HostAction::discard, 0x4000));
    ok(SlotDelete{1});
    ok(Invlpg{0, 0});
    const auto kind = judge(read(), Value{code_cell(0x200)});
    EXPECT_EQ(kind, zap_all ? Judgement::Kind::refused : Judgement::Kind::admitted);
  }
}

class RingTest : public HostTest {
 protected:
  void SetUp() override {
    Configuration c;
    c.dirty_log = DirtyLogMode::ring;
    begin(c);
    ok(SlotDelete{0});
    ok(SlotAdd{.id = 0, .gpa = 0, .size = 0x200000, .hva = 0});
    ok(SlotAdd{.id = 1, .gpa = data, .size = 0x10000, .hva = data, .log = true});
  }
};

TEST_F(RingTest, EachWriteShowsOnceBeforeTheNextCollection) {
  ok(RingCollect{}, DirtyPages{});
  ok(write(1));
  refused(RingCollect{}, DirtyPages{});
  SetUp();
  ok(write(1));
  ok(RingCollect{}, ring(1, 0));
  ok(RingCollect{}, DirtyPages{});
}

TEST_F(RingTest, UnexplainedPagesAreRefused) {
  ok(write(1));
  DirtyPages more = ring(1, 0);
  more.add(1, 5);
  refused(RingCollect{}, more);
  SetUp();
  refused(RingCollect{}, ring(7, 0));
}

TEST_F(RingTest, PagesOutliveTheirSlotAndItsLogging) {
  ok(write(1));
  ok(SlotDelete{1});
  ok(SlotAdd{.id = 1, .gpa = 0x4000'0000, .size = page_size, .hva = 0x300000});
  EXPECT_EQ(machine->admitted(RingCollect{}).front(), Observation(ring(1, 0)));
  ok(RingCollect{}, ring(1, 0));
  ok(RingCollect{}, DirtyPages{});
}

TEST_F(RingTest, BitmapsAreGone) {
  ok(DirtyGet{1}, Errno{ENXIO});
  ok(DirtyClear{1, 0, 64}, Errno{ENXIO});
  ok(DirtyGet{9}, Errno{ENXIO});
}

}  // namespace
}  // namespace lockstep::spec
