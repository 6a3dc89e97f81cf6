// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/vm.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include "impl/test_guest.h"

namespace lockstep::impl {
namespace {

using namespace test;

PagingRegisters long_mode() {
  PagingRegisters registers;
  registers.control.set(ControlBit::cr0_wp, true);
  return registers;
}

constexpr MemoryRegion slot0{.id = 0, .gpa = 0, .size = 0x100000};
constexpr MemoryRegion slot1{.id = 1, .gpa = 0x200000, .size = 0x80000, .hva = 0x100000};

MemoryRegion logged(MemoryRegion region) {
  region.log = true;
  return region;
}

/// Slot 0 holds the tables, slot 1 the pages 0x200000.. that gva 0.. maps.
class Slots : public testing::TestWithParam<DirtyLogMode> {
 protected:
  Slots() : guest({.dirty_log = GetParam()}) {}
  void SetUp() override {
    ASSERT_FALSE(guest.slot(slot0));
    ASSERT_FALSE(guest.slot(slot1));
    guest.map4({0x200000, 0x201000, 0x202000}, pwu | entry::dirty);
    cpu.emplace(guest.vm, long_mode(), 0x1000);
  }
  bool write(Gva gva) { return fixed(take_fault(*cpu, gva, user_write)); }
  bool writable(Gva gva) {
    const auto spte = leaf(guest, *cpu, gva);
    return spte && spte_writable(*spte);
  }
  std::uint64_t dirty() { return guest.vm.get_dirty_log(1).value().words.at(0); }

  Guest guest;
  std::optional<Vcpu> cpu;
};
class Plain : public Slots {};
class Manual : public Slots {};
class AllSet : public Slots {};
INSTANTIATE_TEST_SUITE_P(Mode, Plain, testing::Values(DirtyLogMode::plain));
INSTANTIATE_TEST_SUITE_P(Mode, Manual, testing::Values(DirtyLogMode::manual));
INSTANTIATE_TEST_SUITE_P(Mode, AllSet, testing::Values(DirtyLogMode::manual_all_set));

// With many children below them, roots would go in one long batch (b28cb0cd2c5e).
TEST(VmTest, ZapsEverythingInBatches) {
  Guest guest;
  ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = Guest::memory_size}));
  guest.entry(0x1000, 0, 0x2000 | pwu);
  guest.entry(0x2000, 0, 0x3000 | pwu);
  constexpr unsigned tables = 64;
  for (unsigned i = 0; i < tables; ++i) {
    guest.entry(0x3000, i, (0x10000 + i * page_size) | pwu);
    guest.entry(0x10000 + i * page_size, 0, 0x400000 | pwu | entry::dirty);
  }
  Vcpu cpu(guest.vm, long_mode(), 0x1000);
  for (Gva gva = 0; gva < tables << 21; gva += 1ull << 21) {
    ASSERT_TRUE(fixed(take_fault(cpu, gva, user_read)));
  }
  const auto held = guest.vm.exclusive();
  ShadowMmu& mmu = held.mmu();
  std::uint64_t left = mmu.counter().used();
  ASSERT_GT(left, tables);
  unsigned pauses = 0;
  mmu.zap_all([&] {
    ++pauses;
    EXPECT_LE(left - mmu.counter().used(), 10u);
    left = mmu.counter().used();
  });
  EXPECT_GE(pauses, tables / 10);
  EXPECT_EQ(mmu.events().batches, pauses);
}

TEST_P(Plain, DeleteLeavesNoSpte) {
  ASSERT_TRUE(write(0));
  const std::uint64_t flushes = cpu->flush_generation();
  ASSERT_FALSE(guest.slot({.id = 1}));
  EXPECT_EQ(guest.vm.exclusive().mmu().mapped_pages(), 0u);
  EXPECT_EQ(guest.vm.exclusive().mmu().counter().used(), 1u);  // the root that the vCPU holds
  EXPECT_NE(cpu->flush_generation(), flushes);
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(take_fault(*cpu, 0, user_write)));
}

TEST_P(Plain, MoveLeavesNoSpte) {
  ASSERT_TRUE(write(0));
  MemoryRegion moved = slot1;
  moved.gpa = 0x300000;
  ASSERT_FALSE(guest.slot(moved));
  EXPECT_EQ(guest.vm.exclusive().mmu().mapped_pages(), 0u);
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(take_fault(*cpu, 0, user_write)));
  ASSERT_EQ(guest.vm.guest_store(0x4000, 8, 0x300000 | pwu | entry::dirty), Vm::Store::done);
  ASSERT_TRUE(write(0));
  EXPECT_EQ(spte_frame(*leaf(guest, *cpu, 0)), 0x100u);
}

TEST_P(Plain, GetClearsAndWriteProtects) {
  ASSERT_TRUE(write(0x2000));
  ASSERT_FALSE(guest.slot(logged(slot1)));
  EXPECT_FALSE(writable(0x2000));  // logging starts with everything protected
  ASSERT_TRUE(write(0));
  ASSERT_TRUE(fixed(take_fault(*cpu, 0x1000, user_read)));
  EXPECT_FALSE(writable(0x1000));
  EXPECT_EQ(dirty(), 1u);
  EXPECT_FALSE(writable(0));
  EXPECT_EQ(dirty(), 0u);
  ASSERT_TRUE(write(0));
  EXPECT_EQ(dirty(), 1u);
}

TEST_P(Plain, GuestStoresAndAccessedFlagsAreLogged) {
  ASSERT_FALSE(guest.slot(logged(slot0)));
  ASSERT_TRUE(fixed(take_fault(*cpu, 0, user_read)));
  EXPECT_EQ(guest.vm.get_dirty_log(0).value().words.at(0), 0x1eu);  // four tables
  EXPECT_EQ(guest.vm.guest_store(0x9000, 8, 1), Vm::Store::done);
  EXPECT_EQ(guest.vm.get_dirty_log(0).value().words.at(0), 1u << 9);
}

TEST_P(Plain, Errors) {
  EXPECT_EQ(guest.vm.get_dirty_log(1).error(), Error::no_entry);
  EXPECT_EQ(guest.vm.get_dirty_log(9).error(), Error::no_entry);
  EXPECT_EQ(guest.vm.get_dirty_log(32764).error(), Error::invalid);
  EXPECT_EQ(guest.vm.clear_dirty_log(1, 0, 64).error(), Error::no_entry);
  EXPECT_EQ(guest.vm.clear_dirty_log(1, 1, 64).error(), Error::invalid);
  ASSERT_FALSE(guest.slot(logged(slot1)));  // 128 pages
  EXPECT_EQ(guest.vm.clear_dirty_log(1, 0, 63).error(), Error::invalid);
  EXPECT_EQ(guest.vm.clear_dirty_log(1, 64, 65).error(), Error::invalid);
  EXPECT_EQ(guest.vm.clear_dirty_log(1, 192, 0).error(), Error::invalid);
  EXPECT_TRUE(guest.vm.clear_dirty_log(1, 128, 0));
  EXPECT_TRUE(guest.vm.clear_dirty_log(1, 64, 64));
}

TEST_P(Manual, GetKeepsAndClearProtectsTheRange) {
  ASSERT_FALSE(guest.slot(logged(slot1)));
  ASSERT_TRUE(write(0));
  EXPECT_EQ(dirty(), 1u);
  EXPECT_EQ(dirty(), 1u);
  EXPECT_TRUE(writable(0));
  ASSERT_TRUE(guest.vm.clear_dirty_log(1, 64, 64));
  EXPECT_TRUE(writable(0));
  const std::uint64_t flushes = cpu->flush_generation();
  ASSERT_TRUE(guest.vm.clear_dirty_log(1, 0, 64));
  EXPECT_FALSE(writable(0));
  EXPECT_NE(cpu->flush_generation(), flushes);
  EXPECT_EQ(dirty(), 0u);
}

TEST_P(AllSet, StartsFullAndUnprotected) {
  ASSERT_TRUE(write(0));
  ASSERT_FALSE(guest.slot(logged(slot1)));
  EXPECT_TRUE(writable(0));
  EXPECT_EQ(dirty(), ~0ull);
  ASSERT_TRUE(guest.vm.clear_dirty_log(1, 0, 64));
  EXPECT_FALSE(writable(0));
  EXPECT_EQ(dirty(), 0u);
}

TEST_P(AllSet, LastWordStopsAtTheSlot) {
  ASSERT_FALSE(
      guest.slot({.id = 2, .gpa = 0x400000, .size = 0x3000, .hva = 0x200000, .log = true}));
  EXPECT_EQ(guest.vm.get_dirty_log(2).value().words, std::vector<std::uint64_t>{7});
}

TEST(Tdp, MapsDirectlyAndLogs) {
  Guest guest({.tdp = true});
  ASSERT_FALSE(guest.slot(logged(slot0)));
  Vcpu cpu(guest.vm, long_mode(), 0x1000);
  ASSERT_TRUE(cpu.prepare_entry());
  ASSERT_TRUE(fixed(cpu.tdp_fault(0x5000, AccessKind::read)));
  EXPECT_FALSE(spte_writable(*leaf(guest, cpu, 0x5000)));
  ASSERT_TRUE(fixed(cpu.tdp_fault(0x5000, AccessKind::write)));
  EXPECT_TRUE(spte_writable(*leaf(guest, cpu, 0x5000)));
  EXPECT_EQ(guest.vm.get_dirty_log(0).value().words.at(0), 0x20u);
  EXPECT_FALSE(spte_writable(*leaf(guest, cpu, 0x5000)));
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(cpu.tdp_fault(0x900000, AccessKind::read)));
  EXPECT_TRUE(cpu.set_control(ControlBit::cr4_pke, true));
}

TEST(Tdp, SlotPastHostMemoryIsAnErrorOfRun) {
  Guest guest({.tdp = true});
  ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = 0x1000, .hva = Guest::memory_size}));
  Vcpu cpu(guest.vm, long_mode(), 0);
  ASSERT_TRUE(cpu.prepare_entry());
  const FaultOutcome outcome = cpu.tdp_fault(0, AccessKind::read);
  ASSERT_TRUE(std::holds_alternative<RunError>(outcome));
  EXPECT_EQ(std::get<RunError>(outcome).error, Error::bad_address);
}

/// Every allocation that a slot needs may fail: nothing has changed then, and the
/// next try succeeds.
TEST(VmSlots, EachAllocationMayFail) {
  Guest guest;
  const MemoryRegion region{.id = 1, .gpa = 0x400000, .size = 0x10000, .hva = 0, .log = true};
  std::uint64_t failed = 0;
  for (;; ++failed) {
    guest.vm.slots().plan().fail_after(failed);
    const auto refused = guest.slot(region);
    guest.vm.slots().plan().never_fail();
    if (!refused) break;
    EXPECT_EQ(*refused, Error::no_memory);
    EXPECT_TRUE(guest.vm.slots().empty());
  }
  // The slot, rmaps and huge-page counts of each level, tracking, bitmap, room.
  EXPECT_EQ(failed, 9u);
  const MemoryRegion moved{.id = 1, .gpa = 0x800000, .size = 0x10000, .hva = 0, .log = true};
  for (std::uint64_t n = 0;; ++n) {
    guest.vm.slots().plan().fail_after(n);
    const auto refused = guest.slot(moved);
    guest.vm.slots().plan().never_fail();
    if (!refused) break;
    EXPECT_EQ(*refused, Error::no_memory);
    EXPECT_TRUE(guest.vm.place(0x400000));
    EXPECT_TRUE(guest.vm.get_dirty_log(1));
  }
  EXPECT_TRUE(guest.vm.place(0x800000));
}

/// A slot that somebody looks at stays until he is done; then it goes.
TEST(VmSlots, DeletionWaitsForReaders) {
  Guest guest({.tdp = true});
  ASSERT_FALSE(guest.slot(slot0));
  ASSERT_FALSE(guest.slot(slot1));
  std::optional<SlotReaders::Section> reading;
  reading.emplace(guest.vm.slot_readers(), 0);
  const MemorySlot* slot = guest.vm.slots().by_gfn(0x200);
  ASSERT_NE(slot, nullptr);
  std::atomic<bool> gone = false;
  std::thread deletes([&] {
    EXPECT_FALSE(guest.slot({.id = 1}));
    gone = true;
  });
  while (!slot->invalid) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(gone);
  EXPECT_EQ(slot->base, 0x200u);
  reading.reset();
  deletes.join();
  EXPECT_EQ(guest.vm.slots().by_gfn(0x200), nullptr);
}

/// vCPUs fault while slots come and go; the sanitizer of addresses sees who was freed.
TEST(VmSlots, ComeAndGoBesideFaults) {
  Guest guest({.tdp = true});
  ASSERT_FALSE(guest.slot(slot0));
  std::atomic<bool> stop = false;
  std::thread faults([&] {
    Vcpu cpu(guest.vm, long_mode(), 0x1000);
    while (!stop) {
      if (cpu.prepare_entry()) (void)cpu.tdp_fault(0x205000, AccessKind::write);
    }
  });
  for (int i = 0; i < 300; ++i) {
    ASSERT_FALSE(guest.slot(logged(slot1)));
    ASSERT_FALSE(guest.slot(slot1));
    MemoryRegion moved = slot1;
    moved.gpa = 0x400000;
    ASSERT_FALSE(guest.slot(moved));
    ASSERT_FALSE(guest.slot({.id = 1}));
  }
  stop = true;
  faults.join();
}

}  // namespace
}  // namespace lockstep::impl
