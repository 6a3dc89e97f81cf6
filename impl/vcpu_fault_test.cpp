// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "impl/test_guest.h"

namespace lockstep::impl {
namespace {

using namespace test;
using enum ControlBit;

constexpr PagingRegisters long_mode() {
  PagingRegisters registers;
  registers.control.set(cr0_wp, true);
  registers.control.set(efer_nx, true);
  return registers;
}

class Shadow : public testing::Test {
 protected:
  void SetUp() override { ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = 0x200000})); }
  Vcpu& start(const PagingRegisters& registers, std::uint64_t cr3 = 0x1000) {
    return cpu.emplace(guest.vm, registers, cr3);
  }
  Guest guest;
  std::optional<Vcpu> cpu;
};

TEST_F(Shadow, ReadMapsCleanPageReadOnlyAndWriteSetsDirty) {
  guest.map4({0x10000});
  start(long_mode());
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_read)));
  EXPECT_EQ(*leaf(guest, *cpu, 0) & entry::writable, 0u);
  EXPECT_EQ(guest.entry_at(0x4000, 0) & (entry::accessed | entry::dirty), entry::accessed);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
  EXPECT_NE(*leaf(guest, *cpu, 0) & entry::writable, 0u);
  EXPECT_NE(guest.entry_at(0x4000, 0) & entry::dirty, 0u);
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0)), 0x10u);
}

TEST_F(Shadow, SpteGrantsNoMoreThanThePath) {
  guest.map4({0x10000}, entry::present | entry::writable | entry::dirty | entry::no_execute);
  start(long_mode());
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, kernel_read)));
  const std::uint64_t spte = *leaf(guest, *cpu, 0);
  EXPECT_EQ(spte & entry::user, 0u);
  EXPECT_NE(spte & entry::no_execute, 0u);
  EXPECT_EQ(injected(take_fault(*cpu, 0, user_read)), 5u);
}

// CVE-2021-38198: two root entries with different rights share a lower table.
// A shadow page found by gfn alone would let the read-only path write.
TEST_F(Shadow, AliasWithFewerRightsIsShadowedApart) {
  guest.map4({0x10000}, pwu | entry::dirty);
  guest.entry(0x1000, 1, 0x2000 | pu);
  start(long_mode());
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
  const Gva alias = 1ull << 39;
  ASSERT_TRUE(fixed(take_fault(*cpu, alias, user_read)));
  EXPECT_EQ(*leaf(guest, *cpu, alias) & entry::writable, 0u);
  EXPECT_NE(*leaf(guest, *cpu, 0) & entry::writable, 0u);
  EXPECT_EQ(injected(take_fault(*cpu, alias, user_write)), 7u);
}

TEST_F(Shadow, ShadowedTableIsWriteProtectedInEveryMapping) {
  guest.map4({0x5000, 0x4000, 0x5000}, pwu | entry::dirty);
  start(long_mode());
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x2000, user_write)));
  // Page 0x5000 is writable through two mappings until it becomes a table.
  const std::uint64_t flushes = cpu->flush_generation();
  guest.entry(0x3000, 1, 0x5000 | pwu);
  guest.entry(0x5000, 0, 0x10000 | pwu | entry::dirty);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x200000, user_read)));
  EXPECT_EQ(*leaf(guest, *cpu, 0) & entry::writable, 0u);
  EXPECT_EQ(*leaf(guest, *cpu, 0x2000) & entry::writable, 0u);
  EXPECT_NE(cpu->flush_generation(), flushes);
  // A level-1 table may be written, and lags behind from then on.
  EXPECT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
  EXPECT_EQ(guest.vm.exclusive().mmu().unsync_pages(), 1u);
}

TEST_F(Shadow, WriteToTheDirectoryThatMapsItIsEmulated) {
  guest.map4({0x3000}, pwu | entry::dirty);
  start(long_mode());
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(take_fault(*cpu, 0, user_write)));
  EXPECT_EQ(*leaf(guest, *cpu, 0) & entry::writable, 0u);
}

TEST_F(Shadow, EmulatedWriteDropsTheSpteOfTheEntry) {
  guest.map4({0x10000, 0x11000, 0x4000}, pwu | entry::dirty);
  start(long_mode());
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x1000, user_write)));
  const std::uint64_t flushes = cpu->flush_generation();
  const Emulated result = cpu->emulate(0x2000, user_write, 8, 0x12000 | pwu);
  EXPECT_TRUE(std::holds_alternative<Stored>(result));
  EXPECT_EQ(leaf(guest, *cpu, 0), std::nullopt);
  EXPECT_NE(leaf(guest, *cpu, 0x1000), std::nullopt);
  EXPECT_NE(cpu->flush_generation(), flushes);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0)), 0x12u);
}

TEST_F(Shadow, WriteToUpperTableUnlinksTheChild) {
  guest.map4({0x10000}, pwu | entry::dirty);
  guest.entry(0x5000, 0, 0x11000 | pwu | entry::dirty);
  start(long_mode());
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_read)));
  ASSERT_EQ(guest.vm.guest_store(0x3000, 8, 0x5000 | pwu), Vm::Store::done);
  EXPECT_EQ(leaf(guest, *cpu, 0), std::nullopt);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_read)));
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0)), 0x11u);
}

TEST_F(Shadow, WpZeroExchangesUserForWrite) {
  guest.map4({0x10000}, pu | entry::dirty);
  PagingRegisters registers = long_mode();
  registers.control.set(cr0_wp, false);
  registers.control.set(cr4_smep, true);
  start(registers);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, kernel_write)));
  std::uint64_t spte = *leaf(guest, *cpu, 0);
  EXPECT_NE(spte & entry::writable, 0u);
  EXPECT_EQ(spte & entry::user, 0u);
  EXPECT_NE(spte & entry::no_execute, 0u);
  const std::uint64_t flushes = cpu->flush_generation();
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_read)));
  spte = *leaf(guest, *cpu, 0);
  EXPECT_EQ(spte & entry::writable, 0u);
  EXPECT_NE(spte & entry::user, 0u);
  EXPECT_NE(cpu->flush_generation(), flushes);
}

TEST_F(Shadow, WpToggleDoesNotReuseTheExchange) {
  guest.map4({0x10000}, pu | entry::dirty);
  PagingRegisters registers = long_mode();
  registers.control.set(cr0_wp, false);
  start(registers);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, kernel_write)));
  ASSERT_TRUE(cpu->set_control(cr0_wp, true));
  ASSERT_TRUE(cpu->prepare_entry());
  EXPECT_EQ(leaf(guest, *cpu, 0), std::nullopt);
  EXPECT_EQ(injected(take_fault(*cpu, 0, kernel_write)), 3u);
}

TEST_F(Shadow, LargePageIsSplitAndFollowsItsRights) {
  guest.map4({});
  guest.entry(0x3000, 1, 0 | pwu | entry::page_size);
  start(long_mode());
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x210000, user_read)));
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0x210000)), 0x10u);
  EXPECT_EQ(*leaf(guest, *cpu, 0x210000) & entry::writable, 0u);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x210000, user_write)));
  EXPECT_NE(*leaf(guest, *cpu, 0x210000) & entry::writable, 0u);
}

TEST_F(Shadow, Bits32QuadrantsDoNotMix) {
  PagingRegisters registers{.mode = PagingMode::bits32, .control = bits({cr0_wp, cr4_pse})};
  constexpr auto flags = static_cast<std::uint32_t>(pwu | entry::dirty);
  guest.entry(0x1000, 0, 0x4000 | flags, 4);
  guest.entry(0x4000, 1, 0x11000 | flags, 4);
  guest.entry(0x4000, 513, 0x12000 | flags, 4);
  guest.entry(0x1000, 768, 0 | flags | entry::page_size, 4);
  start(registers);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x1000, user_write)));
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x201000, user_write)));
  ASSERT_TRUE(fixed(take_fault(*cpu, 0xc0013000, user_write)));
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0x1000)), 0x11u);
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0x201000)), 0x12u);
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0xc0013000)), 0x13u);
  // Entry 513 lies in the second quadrant; entry 768 stands for two SPTEs.
  ASSERT_EQ(guest.vm.guest_store(0x4000 + 513 * 4, 4, 0), Vm::Store::done);
  EXPECT_NE(leaf(guest, *cpu, 0x1000), std::nullopt);
  EXPECT_EQ(leaf(guest, *cpu, 0x201000), std::nullopt);
  ASSERT_EQ(guest.vm.guest_store(0x1000 + 768 * 4, 4, 0), Vm::Store::done);
  EXPECT_EQ(leaf(guest, *cpu, 0xc0013000), std::nullopt);
}

TEST_F(Shadow, PaeUsesThePdptesThatMovCr3Loaded) {
  PagingRegisters registers{.mode = PagingMode::pae, .control = bits({cr0_wp})};
  guest.entry(0x1000, 2, 0x2000 | entry::present);
  guest.entry(0x2000, 0, 0x3000 | pwu);
  guest.entry(0x3000, 0, 0x10000 | pwu | entry::dirty);
  start(registers);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x80000000, user_write)));
  ASSERT_EQ(guest.vm.guest_store(0x1000 + 16, 8, 0), Vm::Store::done);
  EXPECT_TRUE(fixed(take_fault(*cpu, 0x80000000, user_write)));
  ASSERT_TRUE(cpu->set_cr3(0x1000));
  EXPECT_EQ(injected(take_fault(*cpu, 0x80000000, user_write)), 6u);
  guest.entry(0x1000, 1, 0x2000 | entry::present | entry::writable);
  EXPECT_FALSE(cpu->set_cr3(0x1000));
  EXPECT_FALSE(cpu->set_control(cr4_pge, true));
  EXPECT_TRUE(cpu->set_control(cr0_wp, false));
}

TEST_F(Shadow, FiveLevels) {
  PagingRegisters registers = long_mode();
  registers.mode = PagingMode::level5;
  guest.map4({0x10000}, pwu);
  guest.entry(0x6000, 3, 0x1000 | pwu);
  start(registers, 0x6000);
  const Gva gva = 3ull << 48;
  ASSERT_TRUE(fixed(take_fault(*cpu, gva, user_write)));
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, gva)), 0x10u);
}

TEST_F(Shadow, NoPagingMapsIdentity) {
  PagingRegisters registers{.mode = PagingMode::none, .control = bits({cr0_wp})};
  start(registers);
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x12345, kernel_write)));
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0x12000)), 0x12u);
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(take_fault(*cpu, 0x300000, kernel_read)));
}

TEST_F(Shadow, EarlierRootIsKeptAndDroppedWhenZapped) {
  guest.map4({0x10000}, pwu | entry::dirty);
  guest.entry(0x6000, 0, 0x2000 | pwu);
  start(long_mode());
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
  ASSERT_TRUE(cpu->set_cr3(0x6000));
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
  ASSERT_TRUE(cpu->set_cr3(0x1000));
  ASSERT_TRUE(cpu->prepare_entry());
  EXPECT_NE(leaf(guest, *cpu, 0), std::nullopt);
  ASSERT_TRUE(cpu->set_cr3(0x6000));
  ASSERT_TRUE(cpu->prepare_entry());
  ASSERT_FALSE(guest.slot({.id = 1, .gpa = 0x400000, .size = 0x1000, .hva = 0x200000}));
  ASSERT_FALSE(guest.slot({.id = 1}));
  ASSERT_TRUE(cpu->prepare_entry());
  for (const auto& whole : cpu->roots().whole()) EXPECT_TRUE(!whole.root || whole.root.usable());
  ASSERT_TRUE(cpu->set_cr3(0x1000));
  ASSERT_TRUE(cpu->prepare_entry());
  EXPECT_EQ(leaf(guest, *cpu, 0), std::nullopt);
}

TEST_F(Shadow, MmioAndReadOnlySlots) {
  ASSERT_FALSE(
      guest.slot({.id = 1, .gpa = 0x400000, .size = 0x1000, .hva = 0x200000, .read_only = true}));
  guest.map4({0x400000, 0x500000}, pwu | entry::dirty);
  start(long_mode());
  EXPECT_TRUE(fixed(take_fault(*cpu, 0, user_read)));
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(take_fault(*cpu, 0, user_write)));
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(take_fault(*cpu, 0x1000, user_read)));
  const Emulated write = cpu->emulate(0, user_write, 4, 1);
  ASSERT_TRUE(std::holds_alternative<MmioExit>(write));
  EXPECT_EQ(std::get<MmioExit>(write).gpa, 0x400000u);
  const Emulated read = cpu->emulate(0x1008, user_read, 4, 0);
  ASSERT_TRUE(std::holds_alternative<MmioExit>(read));
  EXPECT_EQ(std::get<MmioExit>(read).gpa, 0x500008u);
}

TEST_F(Shadow, ReservedAndTableWithoutMemory) {
  guest.map4({0x10000 | 1ull << 45});
  guest.entry(0x3000, 1, 0x700000 | pwu);
  start(long_mode());
  EXPECT_EQ(injected(take_fault(*cpu, 0, user_read)), 13u);
  EXPECT_EQ(injected(take_fault(*cpu, 0x200000, user_read)), 4u);
}

TEST_F(Shadow, TranslateSetsAccessedOnly) {
  guest.map4({0x10000});
  start(long_mode());
  EXPECT_EQ(cpu->translate(0x123), 0x10123u);
  EXPECT_EQ(cpu->translate(0x5000), std::nullopt);
  EXPECT_EQ(guest.entry_at(0x4000, 0) & (entry::accessed | entry::dirty), entry::accessed);
}

TEST_F(Shadow, ControlRegistersThatFault) {
  guest.map4({0x10000});
  start(long_mode());
  EXPECT_FALSE(cpu->set_control(cr4_pke, true));
  EXPECT_FALSE(cpu->set_cr3(0x1000 | 1ull << 63));
  EXPECT_FALSE(cpu->set_cr3(1ull << 45));
  ASSERT_TRUE(cpu->set_cr3(0x1005));
  EXPECT_FALSE(cpu->set_control(cr4_pcide, true));
  ASSERT_TRUE(cpu->set_cr3(0x1000));
  ASSERT_TRUE(cpu->set_control(cr4_pcide, true));
  EXPECT_TRUE(cpu->set_cr3(0x1005 | 1ull << 63));
}

// Every allocation of a fault fails once: the fault reports it, nothing leaks,
// and the next try succeeds.
TEST_F(Shadow, AllocationFailureAtEachPlace) {
  guest.map4({0x10000}, pwu | entry::dirty);
  unsigned failures = 0;
  for (std::uint64_t n = 0; n < 12; ++n) {
    start(long_mode());
    guest.arena.fail_after(n);
    const FaultOutcome first = take_fault(*cpu, 0, user_write);
    const auto* error = std::get_if<RunError>(&first);
    if (error != nullptr) {
      EXPECT_EQ(error->error, Error::no_memory);
      ++failures;
    }
    guest.arena.never_fail();
    EXPECT_TRUE(fixed(take_fault(*cpu, 0, user_write)));
    cpu->unload();
    cpu.reset();
    guest.vm.exclusive().mmu().zap_all();
    EXPECT_EQ(guest.arena.in_use(), 0u);
    EXPECT_EQ(guest.vm.exclusive().mmu().counter().used(), 0u);
  }
  EXPECT_GE(failures, 6u);
}

TEST_F(Shadow, ReclaimKeepsTheLimitAndTheRoot) {
  guest.vm.exclusive().mmu().counter().set_limit(10);
  guest.entry(0x1000, 0, 0x2000 | pwu);
  guest.entry(0x2000, 0, 0x3000 | pwu);
  for (unsigned i = 0; i < 16; ++i) {
    guest.entry(0x3000, i, (0x20000 + i * 0x1000) | pwu);
    guest.entry(0x20000 + i * 0x1000, 0, (0x40000 + i * 0x1000) | pwu | entry::dirty);
  }
  start(long_mode());
  for (unsigned round = 0; round < 2; ++round) {
    for (Gva i = 0; i < 16; ++i) {
      ASSERT_TRUE(fixed(take_fault(*cpu, i << 21, user_write)));
      EXPECT_EQ(spte_frame(*leaf(guest, *cpu, i << 21)), 0x40u + i);
      EXPECT_LE(guest.vm.exclusive().mmu().counter().used(), 10u);
    }
  }
  EXPECT_GT(guest.vm.exclusive().mmu().events().recycled, 0u);
}

}  // namespace
}  // namespace lockstep::impl
