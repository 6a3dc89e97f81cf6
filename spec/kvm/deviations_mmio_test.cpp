// SPDX-License-Identifier: GPL-2.0-or-later
/// Where KVM departs from the manual for addresses without memory slot.
#include <gtest/gtest.h>

#include "spec/kvm/modelled.h"

namespace lockstep::spec {
namespace {

TEST(Deviations, MmioCacheKeepsTheRightsOfItsPage) {
  Modelled m(shadow());
  m.leaf(0x800000 | entry::present | entry::writable);
  const Access kernel_read{0, AccessKind::read, Cpl::supervisor, 0};
  EXPECT_EQ(m.run(kernel_read, Mmio{false, 0x800000, 8, 0}), admitted);
  EXPECT_EQ(m.run(read, Mmio{false, 0x800000, 8, 0}), refused) << "a kernel page";
}

TEST(Deviations, MmioEntryKeepsItsRightsThroughAFlush) {
  const Gva page_one = 0x1000;
  const std::uint64_t clean = 0x800000 | rwu | entry::accessed;
  const Access write{0, AccessKind::write, Cpl::supervisor, page_one, 1};
  const Access read_before{0, AccessKind::read, Cpl::user, page_one};
  const auto left_clean = [&](const Platform& platform, bool protects, bool was_read) {
    Modelled m(platform, with(ControlBit::cr0_wp, protects));
    m.run(EntrySet{0, TableLevel::pt, 0x4000, 1, clean});
    if (was_read) m.run(read_before, Mmio{false, 0x800000, 8, 0});
    m.run(LoadCr3{0, 0x1000});
    EXPECT_EQ(m.run(write, Mmio{true, 0x800000, 8, 1}), admitted);
    return m.run(Peek{0x4008}, Value{clean});
  };
  EXPECT_EQ(left_clean(shadow(), /*protects=*/false, /*was_read=*/true), admitted);
  EXPECT_EQ(left_clean(shadow(), /*protects=*/true, /*was_read=*/true), refused);
  EXPECT_EQ(left_clean(shadow(), /*protects=*/false, /*was_read=*/false), refused);
  EXPECT_EQ(left_clean(tdp(), /*protects=*/false, /*was_read=*/true), refused);
}

TEST(Deviations, MmioReadOfLinearPageZeroIsRetriedAsAWrite) {
  const auto dirty_after = [](const Platform& platform, unsigned index, std::uint64_t rights) {
    const std::uint64_t value = 0x800000 | rights | entry::accessed;
    Modelled m(platform);
    m.run(EntrySet{0, TableLevel::pt, 0x4000, index, value});
    const Access access{0, AccessKind::read, Cpl::user, index * page_size};
    EXPECT_EQ(m.run(access, Mmio{false, 0x800000, 8, 0}), admitted);
    return m.run(Peek{0x4000 + index * 8}, Value{value | entry::dirty});
  };
  EXPECT_EQ(dirty_after(shadow(), 0, rwu), admitted);
  EXPECT_EQ(dirty_after(shadow(), 1, rwu), refused);
  EXPECT_EQ(dirty_after(shadow(), 0, entry::present | entry::user), refused) << "no right to write";
  EXPECT_EQ(dirty_after(tdp(), 0, rwu), refused);
}

TEST(Deviations, MmioEntryOfAnUnsyncTableOutlivesTheSlotsCreation) {
  const auto still_mmio = [](const Platform& platform, bool stored, bool flushed) {
    Modelled m(platform);
    m.run(EntrySet{std::nullopt, TableLevel::pt, 0x4000, 0, 0x800000 | rwu});
    EXPECT_EQ(m.run(read, Mmio{false, 0x800000, 8, 0}), admitted);
    if (stored) m.run(EntrySet{0, TableLevel::pt, 0x4000, 1, 0});
    m.run(SlotAdd{1, 0x800000, 0x1000, 0x8000});
    if (flushed) m.run(LoadCr3{0, 0x1000});
    return m.run(read, Mmio{false, 0x800000, 8, 0});
  };
  EXPECT_EQ(still_mmio(shadow(), /*stored=*/true, /*flushed=*/true), admitted);
  EXPECT_EQ(still_mmio(shadow(), /*stored=*/false, /*flushed=*/true), refused);
  EXPECT_EQ(still_mmio(shadow(), /*stored=*/true, /*flushed=*/false), refused);
  EXPECT_EQ(still_mmio(tdp(), /*stored=*/true, /*flushed=*/true), refused);
}

TEST(Deviations, AnAccessThatLinksAnUnsyncTableRefreshesItsMmioEntries) {
  for (const bool above : {true, false}) {
    Modelled m(shadow());
    m.run(EntrySet{std::nullopt, TableLevel::pt, 0x4000, 0, 0x800000 | rwu});
    EXPECT_EQ(m.run(read, Mmio{false, 0x800000, 8, 0}), admitted);
    m.run(EntrySet{0, TableLevel::pt, 0x4000, 1, 0});
    m.run(EntrySet{0, TableLevel::pd, 0x3000, above ? 0u : 1u, above ? 0x4000 | rwu : 0});
    m.run(SlotAdd{1, 0x800000, 0x1000, 0x8000});
    EXPECT_EQ(m.run(read, Mmio{false, 0x800000, 8, 0}), above ? admitted : refused);
  }
}

// KVM_TRANSLATE needs no root: the vCPU's first entry loads one, and synchronizes.
TEST(Deviations, AVcpuThatOnlyTranslatedHasNoRoot) {
  for (const bool entered : {false, true}) {
    Modelled m(shadow());
    m.run(EntrySet{std::nullopt, TableLevel::pt, 0x4000, 0, 0x800000 | rwu});
    EXPECT_EQ(m.run(Translate{1, 0}, Translation{0x800000}), admitted);
    if (entered) {
      EXPECT_EQ(m.run(SetControl{1, ControlBit::cr4_smep, false}), admitted);
    }
    EXPECT_EQ(m.run(read, Mmio{false, 0x800000, 8, 0}), admitted);
    EXPECT_EQ(m.run(EntrySet{0, TableLevel::pt, 0x4000, 1, 0}), admitted);
    EXPECT_EQ(m.run(SlotAdd{1, 0x800000, 0x1000, 0x8000}), admitted);
    EXPECT_EQ(m.run(Access{1, AccessKind::read, Cpl::user, 0}, Mmio{false, 0x800000, 8, 0}),
              entered ? refused : admitted);
  }
}

TEST(Freedom, WriteThroughTheMmioCacheWalksNothing) {
  const Access write{0, AccessKind::write, Cpl::supervisor, 0, 1};
  for (const bool protects : {false, true}) {
    Modelled m(shadow(), with(ControlBit::cr0_wp, protects));
    m.leaf(0x800000 | rwu | entry::accessed);
    EXPECT_EQ(m.run(read, Mmio{false, 0x800000, 8, 0}), admitted);
    EXPECT_EQ(m.run(write, Mmio{true, 0x800000, 8, 1}), admitted);
    EXPECT_EQ(m.run(Peek{0x4000}, Value{0x800000 | rwu | entry::accessed}),
              protects ? refused : admitted)
        << "no dirty flag: vcpu_mmio_gva_to_gpa() knew the address, and under CR0.WP=0 the right";
  }
}

TEST(Freedom, AnEmulatedWriteWalkedBeforeItMetTheMmioCache) {
  for (const bool cached : {true, false}) {
    Modelled m(shadow());
    m.leaf(0x800000 | rwu | entry::accessed);
    const Access write{0, AccessKind::write, Cpl::user, 0, 1};
    if (cached) m.run(write, Mmio{true, 0x800000, 8, 1});
    m.leaf(0x200000 | rwu);
    EXPECT_EQ(m.run(write, Mmio{true, 0x800000, 8, 1}), cached ? admitted : refused);
    if (!cached) continue;
    const std::uint64_t walked = 0x200000 | rwu | entry::accessed | entry::dirty;
    EXPECT_EQ(m.run(Peek{0x4000}, Value{walked}), admitted);
  }
}

TEST(Deviations, AStaleMmioEntryTakesACleanWriteWithoutWriteProtection) {
  const Access write{0, AccessKind::write, Cpl::supervisor, 0x1000, 1};
  const Access read_one{0, AccessKind::read, Cpl::user, 0x1000};
  for (const bool protects : {false, true}) {
    Modelled m(shadow(), with(ControlBit::cr0_wp, protects));
    m.run(EntrySet{0, TableLevel::pt, 0x4000, 1, 0x800000 | rwu | entry::accessed});
    m.run(read_one, Mmio{false, 0x800000, 8, 0});
    m.run(EntrySet{1, TableLevel::pt, 0x4000, 1, 0});
    m.run(Invlpg{1, 0x1000});
    EXPECT_EQ(m.run(write, Mmio{true, 0x800000, 8, 1}), protects ? refused : admitted);
  }
}

TEST(Deviations, AStaleMmioEntryHidesThatTheHostProtectsAPage) {
  const Access write{0, AccessKind::write, Cpl::user, 0x1000, 1};
  for (const bool was_mmio : {true, false}) {
    Modelled m(shadow());
    m.run(EntrySet{0, TableLevel::pt, 0x4000, 1, 0x800000 | rwu});
    if (was_mmio) m.run(write, Mmio{true, 0x800000, 8, 1});
    m.run(HostChange{HostAction::protect, 0x300000, 0x1000});
    m.run(EntrySet{0, TableLevel::pt, 0x4000, 1, 0x300000 | rwu});
    m.run(Invlpg{0, 0x1000});
    EXPECT_EQ(m.run(write, Mmio{true, 0x300000, 8, 1}), was_mmio ? admitted : refused);
  }
}

// make_spte() takes an MMIO entry that was writable for a writable SPTE: what replaces it
// maps a page table without write protection, and stores to it go unseen.
TEST(Deviations, WhatReplacesAnMmioEntryMayUnprotectATable) {
  for (const Platform& platform : {shadow(), tdp()}) {
    Configuration configuration;
    configuration.slot_zap_all = true;
    Modelled m(platform, configuration);
    const Access aliased{0, AccessKind::write, Cpl::user, 0x1000, 1};
    const Access store{0, AccessKind::write, Cpl::user, 0x1000, 0x201000 | rwu};
    const Access through{0, AccessKind::read, Cpl::user, 0x200000};
    // Gva 0x1000 leads to gpa 0x500000, gva 0x200000 has its page table there.
    EXPECT_EQ(m.run(EntrySet{std::nullopt, TableLevel::pt, 0x4000, 1, 0x500000 | rwu}), admitted);
    EXPECT_EQ(m.run(EntrySet{std::nullopt, TableLevel::pd, 0x3000, 1, 0x500000 | rwu}), admitted);
    EXPECT_EQ(m.run(aliased, Mmio{true, 0x500000, 8, 1}), admitted);
    EXPECT_EQ(m.run(SlotAdd{1, 0x500000, 0x1000, 0x400000}), admitted);
    EXPECT_EQ(m.run(EntrySet{0u, TableLevel::pt, 0x500000, 0, 0x200000 | rwu}), admitted);
    EXPECT_EQ(m.run(through, page(0x200)), admitted);
    EXPECT_EQ(m.run(store), admitted);
    EXPECT_EQ(m.run(Invlpg{0, 0x200000}), admitted);
    EXPECT_EQ(m.run(through, page(0x200)), platform.tdp ? refused : admitted);
    if (platform.tdp) continue;
    EXPECT_EQ(m.used(Looseness::mmio_unprotects), 1u);
    EXPECT_EQ(m.run(through, page(0x201)), admitted);
  }
}

// The fault of a write under CR0.WP=0 maps with other rights, and only then the emulator takes
// the address of the MMIO cache.
TEST(Deviations, AWriteMapsBeforeItMeetsTheMmioCache) {
  for (const bool protects : {false, true}) {
    Configuration configuration = with(ControlBit::cr4_smap, true);
    configuration.control.set(ControlBit::cr0_wp, protects);
    Modelled m(shadow(), configuration);
    const Access look{0, AccessKind::read, Cpl::supervisor, 0x8};
    m.leaf(0x800000 | entry::present | entry::writable | entry::dirty);
    EXPECT_EQ(m.run(look, Mmio{false, 0x800008, 8, 0}), admitted);
    m.leaf(0x200000 | entry::present | entry::user);
    Access store{0, AccessKind::write, Cpl::supervisor, 0x8, 5};
    store.ac = true;
    EXPECT_EQ(m.run(store, Mmio{true, 0x800008, 8, 5}), admitted);
    EXPECT_EQ(m.run(Invlpg{0, 0}), admitted);
    EXPECT_EQ(m.run(look, page(0x200)), protects ? refused : admitted);
  }
}

// Through an entry that never led to MMIO every store to a table is seen.
TEST(Deviations, AStoreToATableIsSeenElsewhere) {
  Modelled m(shadow());
  const Access store{0, AccessKind::write, Cpl::user, 0x1000, 0x201000 | rwu};
  EXPECT_EQ(m.run(EntrySet{std::nullopt, TableLevel::pt, 0x4000, 1, 0x4000 | rwu}), admitted);
  EXPECT_EQ(m.run(read, page(0x200)), admitted);
  EXPECT_EQ(m.run(store), admitted);
  EXPECT_EQ(m.run(Invlpg{0, 0}), admitted);
  EXPECT_EQ(m.run(read, page(0x200)), refused);
}

}  // namespace
}  // namespace lockstep::spec
