// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/tdp_mmu.h"

#include <gtest/gtest.h>

#include <optional>
#include <thread>

#include "impl/test_guest.h"

namespace lockstep::impl {
namespace {

using namespace test;

class Direct : public testing::TestWithParam<bool> {
 protected:
  Direct() { start({.tdp = true, .tdp_mmu = GetParam()}); }
  void start(VmSettings settings) {
    settings.tdp = true;
    settings.tdp_mmu = GetParam();
    cpu.reset();
    guest.emplace(settings);
    ASSERT_FALSE(guest->slot({.id = 0, .gpa = 0, .size = Guest::memory_size}));
    cpu.emplace(guest->vm, PagingRegisters{}, 0);
    ASSERT_TRUE(cpu->prepare_entry());
  }
  bool fault(Gpa gpa, AccessKind kind) {
    if (!cpu->prepare_entry()) return false;
    return fixed(cpu->tdp_fault(gpa, kind));
  }
  std::uint64_t leaves(unsigned level) { return guest->vm.exclusive().mmu().leaves().at(level); }
  void log(bool on) {
    ASSERT_FALSE(guest->slot({.id = 0, .gpa = 0, .size = Guest::memory_size, .log = on}));
  }

  std::optional<Guest> guest;
  std::optional<Vcpu> cpu;
};
INSTANTIATE_TEST_SUITE_P(Mmu, Direct, testing::Bool(),
                         [](const auto& info) { return info.param ? "tdp" : "legacy"; });

TEST_P(Direct, HugeWhereTheHostIsAndTheSlotAllows) {
  ASSERT_TRUE(fault(0x201000, AccessKind::write));
  EXPECT_EQ(leaves(2), 1u);
  EXPECT_EQ(spte_frame(*leaf(*guest, *cpu, 0x234000)), 0x234u);
  guest->vm.invalidate_begin(0x400000, page_size);
  guest->vm.memory().split(0x400000, page_size);
  guest->vm.invalidate_end();
  ASSERT_TRUE(fault(0x400000, AccessKind::read));
  EXPECT_EQ(leaves(1), 1u);
  // hva and gpa that are not aligned alike: no huge page.
  ASSERT_FALSE(guest->slot({.id = 1, .gpa = 0x1000000, .size = 0x200000, .hva = 0x1000}));
  ASSERT_TRUE(fault(0x1000000, AccessKind::read));
  EXPECT_EQ(leaves(1), 2u);
  // A slot that ends within the huge page.
  ASSERT_FALSE(guest->slot({.id = 2, .gpa = 0x2000000, .size = 0x1ff000, .hva = 0x200000}));
  ASSERT_TRUE(fault(0x2000000, AccessKind::read));
  EXPECT_EQ(leaves(1), 3u);
}

TEST_P(Direct, LoggingSplitsEagerlyAndItsEndCollapses) {
  ASSERT_TRUE(fault(0x200000, AccessKind::write));
  log(true);
  EXPECT_EQ(leaves(2), 0u);
  EXPECT_EQ(leaves(1), 512u);
  EXPECT_FALSE(spte_writable(*leaf(*guest, *cpu, 0x3ff000)));
  ASSERT_TRUE(fault(0x3ff000, AccessKind::write));
  EXPECT_EQ(cpu->events().fast, 1u);
  EXPECT_EQ(guest->vm.get_dirty_log(0).value().words.at(0x3ff / 64), 1ull << 63);
  log(false);
  EXPECT_EQ(leaves(1), 0u);
  ASSERT_TRUE(fault(0x3ff000, AccessKind::write));
  EXPECT_EQ(leaves(2), 1u);
}

TEST_P(Direct, WithoutEagerSplitTheFaultSplits) {
  start({.eager_page_split = false});
  ASSERT_TRUE(fault(0x200000, AccessKind::write));
  log(true);
  EXPECT_EQ(leaves(2), 1u);
  EXPECT_FALSE(spte_writable(*leaf(*guest, *cpu, 0x200000)));
  ASSERT_TRUE(fault(0x234000, AccessKind::write));
  EXPECT_EQ(leaves(2), 0u);
  EXPECT_EQ(leaves(1), 1u);
  EXPECT_EQ(guest->vm.get_dirty_log(0).value().words.at(0x234 / 64), 1ull << (0x234 % 64));
}

TEST_P(Direct, DirtyBitsTellWhatWasWritten) {
  start({.dirty_bits = true});
  log(true);
  ASSERT_TRUE(fault(0x200000, AccessKind::write));
  EXPECT_EQ(guest->vm.get_dirty_log(0).value().words.at(8), 1u);
  const std::uint64_t flushes = cpu->flush_generation();
  EXPECT_EQ(guest->vm.get_dirty_log(0).value().words.at(8), 0u);
  // Writable without another fault: the processor marks the entry.
  const auto entry = leaf(*guest, *cpu, 0x200000);
  EXPECT_TRUE(spte_writable(*entry));
  EXPECT_EQ(*entry & entry::dirty, 0u);
  EXPECT_EQ(cpu->flush_generation(), flushes);
}

TEST_P(Direct, FetchesForbidHugePagesUntilRecovery) {
  start({.nx_huge_pages = true});
  ASSERT_TRUE(fault(0x200000, AccessKind::read));
  EXPECT_EQ(leaves(2), 1u);
  EXPECT_NE(*leaf(*guest, *cpu, 0x200000) & entry::no_execute, 0u);
  ASSERT_TRUE(fault(0x201000, AccessKind::fetch));
  EXPECT_EQ(leaves(2), 0u);
  EXPECT_EQ(*leaf(*guest, *cpu, 0x201000) & entry::no_execute, 0u);
  EXPECT_EQ(guest->vm.exclusive().mmu().nx().size(), 1u);
  // Reads do not bring the huge page back ...
  ASSERT_TRUE(fault(0x202000, AccessKind::read));
  EXPECT_EQ(leaves(2), 0u);
  // ... recovery lets them.
  guest->vm.recover_huge_pages();
  EXPECT_EQ(guest->vm.exclusive().mmu().nx().size(), 0u);
  ASSERT_TRUE(fault(0x202000, AccessKind::read));
  EXPECT_EQ(leaves(2), 1u);
}

TEST_P(Direct, MmioIsToldByTheEntryUntilSlotsChange) {
  const Gpa device = 0x10000000;
  const auto emulated = [&](bool reserved) {
    return std::holds_alternative<NeedsEmulation>(
        cpu->tdp_fault(device, AccessKind::read, reserved));
  };
  EXPECT_TRUE(emulated(false));
  EXPECT_TRUE(emulated(true));
  ASSERT_FALSE(guest->slot({.id = 1, .gpa = device, .size = 0x1000, .hva = 0x1000}));
  ASSERT_TRUE(cpu->prepare_entry());
  EXPECT_FALSE(emulated(true));
  EXPECT_EQ(cpu->events().mmio_stale, 1u);
  EXPECT_EQ(spte_frame(*leaf(*guest, *cpu, device)), 1u);
}

TEST_P(Direct, AGenerationThatWrapsLeavesNoMmioEntry) {
  guest->vm.slots().set_generation((1ull << mmio::generation_bits) - 2);
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(cpu->tdp_fault(0x10000000, AccessKind::read)));
  const std::uint64_t obsolete = guest->vm.obsolete_generation();
  ASSERT_FALSE(guest->slot({.id = 1, .gpa = 0x8000000, .size = 0x1000}));
  EXPECT_NE(guest->vm.obsolete_generation(), obsolete);
}

TEST_P(Direct, FaultsWaitWhileTheHostChangesItsPages) {
  guest->vm.invalidate_begin(0x200000, page_size);
  EXPECT_TRUE(fault(0x200000, AccessKind::write));
  EXPECT_EQ(guest->vm.exclusive().mmu().mapped_pages(), 0u);
  EXPECT_TRUE(fault(0x600000, AccessKind::write));
  EXPECT_EQ(guest->vm.exclusive().mmu().mapped_pages(), 1u);
  guest->vm.invalidate_end();
  EXPECT_TRUE(fault(0x200000, AccessKind::write));
  EXPECT_EQ(guest->vm.exclusive().mmu().mapped_pages(), 2u);
}

TEST_P(Direct, AgeSeesEachUseOnce) {
  ASSERT_TRUE(fault(0x200000, AccessKind::read));
  EXPECT_TRUE(guest->vm.age(0x200000, page_size));
  EXPECT_FALSE(guest->vm.age(0x200000, page_size));
}

TEST_P(Direct, TrackingIsAllOrNothingAndStopsWrites) {
  EXPECT_EQ(guest->vm.track(0x200, true).error(), Error::invalid);
  ASSERT_TRUE(fault(0x200000, AccessKind::write));
  ASSERT_TRUE(guest->vm.enable_tracking());
  ASSERT_TRUE(guest->vm.track(0x200, true));
  EXPECT_FALSE(spte_writable(*leaf(*guest, *cpu, 0x200000)));
  EXPECT_TRUE(std::holds_alternative<NeedsEmulation>(cpu->tdp_fault(0x200000, AccessKind::write)));
  EXPECT_EQ(cpu->events().fast, 0u);
  // Slots of later days are tracked, too.
  ASSERT_FALSE(guest->slot({.id = 1, .gpa = 0x1000000, .size = 0x1000}));
  EXPECT_TRUE(guest->vm.track(0x1000, true));
  ASSERT_TRUE(guest->vm.track(0x1000, false));
  EXPECT_EQ(guest->vm.track(0x1000, false).error(), Error::invalid);
  ASSERT_TRUE(guest->vm.track(0x200, false));
  EXPECT_TRUE(fault(0x200000, AccessKind::write));
}

TEST_P(Direct, TrackingThatLacksMemoryIsOffAndMayBeTriedAgain) {
  ASSERT_FALSE(guest->slot({.id = 1, .gpa = 0x1000000, .size = 0x1000}));
  // Of the two slots the second gets nothing.
  guest->vm.slots().plan().fail_after(1);
  EXPECT_EQ(guest->vm.enable_tracking().error(), Error::no_memory);
  EXPECT_FALSE(guest->vm.tracking_enabled());
  EXPECT_EQ(guest->vm.track(0x200, true).error(), Error::invalid);
  ASSERT_TRUE(guest->vm.enable_tracking());
  EXPECT_TRUE(guest->vm.track(0x200, true));
  EXPECT_TRUE(guest->vm.track(0x1000, true));
  ASSERT_TRUE(guest->vm.track(0x200, false));
  ASSERT_TRUE(guest->vm.track(0x1000, false));
}

TEST(WriteTracking, CostsTwoBytesAPage) {
  // 39 bits of addresses, as a sandbox maps them: 256 MiB.
  using Count = std::remove_reference_t<decltype(std::declval<MemorySlot&>().tracked_of(0))>;
  static_assert((1ull << (39 - page_shift)) * sizeof(Count) == 256ull << 20);
  Guest guest({.tdp = true});
  ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = Guest::memory_size}));
  EXPECT_FALSE(guest.vm.slots().by_id(0)->tracked) << "nobody has asked for it";
}

TEST_P(Direct, TargetedZapSparesOtherSlots) {
  start({.slot_zap_all = false});
  ASSERT_FALSE(guest->slot({.id = 1, .gpa = 0x1000000, .size = 0x1000, .hva = 0x1000}));
  ASSERT_TRUE(fault(0x600000, AccessKind::write));
  ASSERT_TRUE(fault(0x1000000, AccessKind::write));
  ASSERT_FALSE(guest->slot({.id = 1}));
  EXPECT_EQ(guest->vm.exclusive().mmu().mapped_pages(), 1u);
  EXPECT_NE(leaf(*guest, *cpu, 0x600000), std::nullopt);
}

TEST(TdpMmu, TwoVcpusFillOneTreeAtOnce) {
  Guest guest({.tdp = true});
  ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = Guest::memory_size}));
  guest.vm.invalidate_begin(0, Guest::memory_size);
  guest.vm.memory().split(0, Guest::memory_size);
  guest.vm.invalidate_end();
  Vcpu one(guest.vm, {}, 0);
  Vcpu other(guest.vm, {}, 0);
  const auto run = [](Vcpu& cpu, Gpa first) {
    for (Gpa gpa = first; gpa < Guest::memory_size; gpa += 2 * page_size) {
      while (!cpu.prepare_entry()) {
      }
      for (const Gpa at : {gpa, gpa ^ page_size}) {
        ASSERT_TRUE(fixed(cpu.tdp_fault(at, AccessKind::write)));
      }
    }
  };
  std::thread thread([&] { run(other, page_size); });
  run(one, 0);
  thread.join();
  EXPECT_EQ(guest.vm.exclusive().mmu().leaves().at(1), Guest::memory_size / page_size);
  EXPECT_EQ(guest.vm.exclusive().tdp().pages(), 1u + 1u + 1u + 4u);
  one.unload();
  other.unload();
}

// A fault that has found a slot may use it to its end; a slot that is gone is
// mapped nowhere.
TEST(TdpMmu, SlotsComeAndGoWhileAVcpuFaults) {
  Guest guest({.tdp = true});
  constexpr Gpa other = 0x10000000;
  ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = 0x100000}));
  const MemoryRegion region{.id = 1, .gpa = other, .size = 0x100000, .hva = 0x100000, .log = true};
  ASSERT_FALSE(guest.slot(region));
  Vcpu cpu(guest.vm, {}, 0);
  std::atomic<bool> over = false;
  std::atomic<unsigned> rounds = 0;
  std::thread thread([&] {
    while (!over) {
      for (Gpa gpa = other; gpa < other + 0x100000; gpa += page_size) {
        if (!cpu.prepare_entry()) continue;
        (void)cpu.tdp_fault(gpa, AccessKind::write);
      }
      ++rounds;
    }
  });
  for (unsigned i = 0; i < 200 || rounds < 3; ++i) {
    ASSERT_FALSE(guest.slot({.id = 1}));
    EXPECT_EQ(guest.vm.exclusive().mmu().mapped_pages(), 0u);
    ASSERT_FALSE(guest.slot(region));
    MemoryRegion unlogged = region;
    unlogged.log = false;
    ASSERT_FALSE(guest.slot(unlogged));
  }
  over = true;
  thread.join();
}

TEST(TdpMmu, ARootInUseOutlivesItsTree) {
  Guest guest({.tdp = true});
  ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = Guest::memory_size}));
  {
    Vcpu cpu(guest.vm, {}, 0);
    ASSERT_TRUE(cpu.prepare_entry());
    ASSERT_TRUE(fixed(cpu.tdp_fault(0, AccessKind::write)));
    ASSERT_FALSE(guest.slot({.id = 0}));
    EXPECT_EQ(guest.vm.exclusive().tdp().pages(), 1u);
    EXPECT_EQ(guest.vm.exclusive().mmu().mapped_pages(), 0u);
    ASSERT_TRUE(cpu.prepare_entry());
    EXPECT_EQ(guest.vm.exclusive().tdp().pages(), 1u);  // a new one; the old one went
  }
  guest.vm.exclusive().tdp().invalidate_roots();
  guest.vm.exclusive().tdp().reap();
  EXPECT_TRUE(guest.vm.exclusive().tdp().empty());
}

}  // namespace
}  // namespace lockstep::impl
