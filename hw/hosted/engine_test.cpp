// SPDX-License-Identifier: GPL-2.0-or-later
// Needs an image of a kernel: LOCKSTEP_HOSTED_IMAGE names the file.
#include "hw/hosted/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "spec/program.h"

namespace lockstep::hw::hosted {
namespace {

class HostedTest : public testing::Test {
 protected:
  static constexpr Gpa root = 0x1000;
  static constexpr std::uint64_t pwu = entry::present | entry::writable | entry::user;

  void SetUp() override {
    const char* const file = std::getenv("LOCKSTEP_HOSTED_IMAGE");
    if (file == nullptr) GTEST_SKIP() << "set LOCKSTEP_HOSTED_IMAGE to an image";
    // Probed once; the address of the image is taken meanwhile.
    static auto opened = HostedEngine::open(file, "hosted:test");
    ASSERT_TRUE(opened) << opened.error().message;
    engine = opened->get();
  }
  void begin(MmuKind mmu, PagingMode mode = PagingMode::level4) {
    Configuration configuration;
    configuration.mmu = mmu;
    configuration.paging = mode;
    configuration.vcpus = 2;
    begin(configuration);
  }
  void begin(const Configuration& configuration) {
    const auto begun = engine->begin(configuration, true);
    ASSERT_TRUE(begun) << begun.error().message;
    ASSERT_EQ(run(SlotAdd{.size = configuration.memory}), Observation(Done{}));
    if (configuration.paging != PagingMode::level4) return;
    for (unsigned level = 0; level < 3; ++level) {
      set(root + level * page_size, 0, (root + (level + 1) * page_size) | pwu);
    }
    for (unsigned page = 0; page < 512; ++page) set(0x4000, page, page * page_size | pwu);
  }
  void set(Gpa table, unsigned index, std::uint64_t value) {
    EntrySet entry;
    entry.table = table;
    entry.index = index;
    entry.value = value;
    ASSERT_EQ(run(entry), Observation(Done{}));
  }
  std::string run(const Command& command, bool) { return print(run(command)); }
  Observation run(const Command& command) {
    auto seen = engine->execute(command);
    if (!seen) return Unexpected{"engine error: " + seen.error().message};
    return *seen;
  }
  Observation read(Gva gva) { return run(Access{.gva = gva}); }
  Observation write(Gva gva, std::uint64_t value) {
    return run(Access{.kind = AccessKind::write, .gva = gva, .value = value});
  }
  void end() {
    const auto ended = engine->end();
    ASSERT_TRUE(ended) << ended.error().message;
    EXPECT_EQ(print(*ended), print(Observation(Done{})));
    EXPECT_EQ(engine->end().has_value(), false);
  }
  HostedEngine* engine = nullptr;
};

TEST_F(HostedTest, ReadsWritesAndFaultsUnderBothMmus) {
  for (const MmuKind mmu : {MmuKind::shadow, MmuKind::tdp}) {
    begin(mmu);
    EXPECT_EQ(read(0x8000), Observation(Value{code_cell(8)}));
    EXPECT_EQ(write(0x8000, 42), Observation(Done{}));
    EXPECT_EQ(run(Peek{.gpa = 0x8000}), Observation(Value{42}));
    EXPECT_EQ(read(0x20'0000), Observation(PageFault{fault::user, 0x20'0000}));
    EXPECT_EQ(engine->platform().tdp, mmu == MmuKind::tdp);
    end();
  }
  // Accesses went through faults that KVM fixed, and the page says so.
  EXPECT_GT(engine->reached().at("access pf_fixed"), 0u);
}

TEST_F(HostedTest, MemoryIsFreshInEveryProgram) {
  begin(MmuKind::tdp);
  EXPECT_EQ(write(0x8000, 42), Observation(Done{}));
  end();
  begin(MmuKind::tdp);
  EXPECT_EQ(read(0x8000), Observation(Value{code_cell(8)}));
  end();
}

// An MMIO entry that the guest replaced without INVLPG: KVM emulates the store.
TEST_F(HostedTest, MemoryIsFreshAfterAnEmulatedStore) {
  begin(MmuKind::shadow);
  set(0x4000, 9, 0xa000'0000 | pwu);
  EXPECT_EQ(read(0x9008), Observation(Mmio{.write = false, .gpa = 0xa000'0008, .size = 8}));
  EntrySet store;
  store.vcpu = 0;
  store.table = 0x4000;
  store.index = 9;
  store.value = 0x1f'0000 | pwu;
  EXPECT_EQ(run(store), Observation(Done{}));
  EXPECT_EQ(run(Access{.vcpu = 1, .kind = AccessKind::write, .gva = 0x9008, .value = 42}),
            Observation(Done{}));
  EXPECT_EQ(run(Peek{.gpa = 0x1f'0008}), Observation(Value{42}));
  end();
  begin(MmuKind::shadow);
  EXPECT_EQ(run(Peek{.gpa = 0x1f'0008}), Observation(Value{code_cell(0x1f0)}));
  end();
}

TEST_F(HostedTest, MmioLeavesAndIsAnswered) {
  for (const MmuKind mmu : {MmuKind::shadow, MmuKind::tdp}) {
    begin(mmu);
    set(0x4000, 9, 0xa000'0000 | pwu);
    EXPECT_EQ(read(0x9008), Observation(Mmio{.write = false, .gpa = 0xa000'0008, .size = 8}));
    EXPECT_EQ(write(0x9010, 7),
              Observation(Mmio{.write = true, .gpa = 0xa000'0010, .size = 8, .value = 7}));
    EXPECT_EQ(read(0x9008), Observation(Mmio{.write = false, .gpa = 0xa000'0008, .size = 8}));
    end();
  }
}

TEST_F(HostedTest, GuestStoresToTablesAreSeen) {
  for (const MmuKind mmu : {MmuKind::shadow, MmuKind::tdp}) {
    begin(mmu);
    EXPECT_EQ(read(0x8000), Observation(Value{code_cell(8)}));
    EntrySet store;
    store.vcpu = 0;
    store.table = 0x4000;
    store.index = 8;
    store.value = 0x9000 | pwu;
    EXPECT_EQ(run(store), Observation(Done{}));
    EXPECT_EQ(run(Invlpg{.gva = 0x8000}), Observation(Done{}));
    EXPECT_EQ(read(0x8000), Observation(Value{code_cell(9)}));
    end();
  }
}

TEST_F(HostedTest, EightByteEntriesOf32BitGuestsAreOneStore) {
  for (const MmuKind mmu : {MmuKind::shadow, MmuKind::tdp}) {
    begin(mmu, PagingMode::pae);
    set(root, 0, 0x2000 | entry::present);
    set(0x2000, 0, 0x3000 | pwu);
    set(0x3000, 8, 0x8000 | pwu);
    EXPECT_EQ(run(Access{.gva = 0x8000, .size = 4}),
              Observation(Value{code_cell(8) & 0xffff'ffff}));
    EntrySet store;
    store.vcpu = 0;
    store.table = 0x3000;
    store.index = 8;
    store.value = 0x9000 | pwu | entry::no_execute;
    EXPECT_EQ(run(store), Observation(Done{}));
    EXPECT_EQ(run(Peek{.gpa = 0x3040}), Observation(Value{store.value}));
    EXPECT_EQ(run(Invlpg{.gva = 0x8000}), Observation(Done{}));
    EXPECT_EQ(run(Access{.gva = 0x8000, .size = 4}),
              Observation(Value{code_cell(9) & 0xffff'ffff}));
    end();
  }
}

TEST_F(HostedTest, DirtyLog) {
  begin(MmuKind::tdp);
  EXPECT_EQ(run(SlotFlags{.id = 0, .log = true}), Observation(Done{}));
  EXPECT_EQ(write(0x8000, 1), Observation(Done{}));
  const Observation log = run(DirtyGet{.id = 0});
  ASSERT_TRUE(std::holds_alternative<DirtyBitmap>(log)) << print(log);
  EXPECT_NE(std::get<DirtyBitmap>(log).words[0] & 1u << 8, 0u);
  EXPECT_EQ(run(DirtyGet{.id = 9}), Observation(Errno{ENOENT}));
  end();
}

/// With PML, KVM clears dirty flags and the processor tells what becomes dirty again;
/// without, KVM takes write access.
TEST_F(HostedTest, DirtyLogByThePageModificationLog) {
  for (const bool logs : {true, false}) {
    Configuration configuration;
    configuration.mmu = MmuKind::tdp;
    configuration.host.vendor = Vendor::intel;
    configuration.host.pml = logs;
    begin(configuration);
    const auto logged = [&] {
      const auto& reached = engine->reached();
      const auto found = reached.find("page modification logged");
      return found == reached.end() ? 0 : found->second;
    };
    const std::uint64_t before = logged();
    EXPECT_EQ(run(SlotFlags{.id = 0, .log = true}), Observation(Done{}));
    for (unsigned round = 0; round < 3; ++round) {
      EXPECT_EQ(write(0x8000, round), Observation(Done{}));
      const Observation log = run(DirtyGet{.id = 0});
      ASSERT_TRUE(std::holds_alternative<DirtyBitmap>(log)) << print(log);
      EXPECT_NE(std::get<DirtyBitmap>(log).words[0] & 1u << 8, 0u) << round;
    }
    // The first write finds a page that is no longer huge: KVM marks it as it maps it.
    if (logs) {
      EXPECT_GE(logged() - before, 2u);
    } else {
      EXPECT_EQ(logged(), before);
    }
    end();
  }
}

TEST_F(HostedTest, DirtyRing) {
  if (!engine->platform().features.test(static_cast<std::size_t>(Feature::dirty_ring))) {
    GTEST_SKIP() << "no dirty ring";
  }
  Configuration configuration;
  configuration.dirty_log = DirtyLogMode::ring;
  begin(configuration);
  EXPECT_EQ(run(SlotFlags{.id = 0, .log = true}), Observation(Done{}));
  EXPECT_EQ(write(0x8000, 1), Observation(Done{}));
  const Observation taken = run(RingCollect{});
  ASSERT_TRUE(std::holds_alternative<DirtyPages>(taken)) << print(taken);
  ASSERT_EQ(std::get<DirtyPages>(taken).slots.size(), 1u);
  EXPECT_NE(std::get<DirtyPages>(taken).slots[0].words[0] & 1u << 8, 0u);
  end();
}

TEST_F(HostedTest, TheHostMovesPages) {
  for (const MmuKind mmu : {MmuKind::shadow, MmuKind::tdp}) {
    begin(mmu);
    EXPECT_EQ(write(0x8000, 42), Observation(Done{}));
    for (const HostAction action : {HostAction::migrate, HostAction::age, HostAction::split,
                                    HostAction::collapse, HostAction::migrate}) {
      EXPECT_EQ(run(HostChange{.action = action, .hva = 0, .size = 4ull << 20}),
                Observation(Done{}));
      EXPECT_EQ(read(0x8000), Observation(Value{42}));
      EXPECT_EQ(read(0x9000), Observation(Value{code_cell(9)}));
    }
    EXPECT_EQ(run(HostChange{.action = HostAction::discard, .hva = 0x8000, .size = page_size}),
              Observation(Done{}));
    EXPECT_EQ(read(0x8000), Observation(Value{code_cell(8)}));
    end();
  }
}

/// Each host that a guest of four levels may have below it.
TEST_F(HostedTest, HostsHaveTheirOwnDepthAndWidth) {
  for (const MmuKind mmu : {MmuKind::shadow, MmuKind::tdp}) {
    for (const bool spare : {false, true}) {
      Configuration configuration;
      configuration.mmu = mmu;
      configuration.host.five_levels = true;
      configuration.host.spare_bit = spare;
      begin(configuration);
      EXPECT_EQ(write(0x8000, 42), Observation(Done{}));
      EXPECT_EQ(engine->platform().host_maxphyaddr, spare ? 51u : 52u);
      auto view = engine->view();
      ASSERT_TRUE(view);
      EXPECT_EQ(view->masks.mmio_value != 0, spare) << "bit 51 marks MMIO where it is reserved";
      const bool deep = std::ranges::any_of(
          view->pages, [](const auto& page) { return page.second.role.level == 5; });
      EXPECT_EQ(deep, mmu == MmuKind::tdp);
      end();
    }
  }
}

TEST_F(HostedTest, SplitsAreCounted) {
  const auto splits = [&] {
    const auto found = engine->reached().find("eager page split");
    return found == engine->reached().end() ? 0 : found->second;
  };
  for (const bool eager : {false, true}) {
    Configuration configuration;
    configuration.mmu = MmuKind::tdp;
    configuration.host.eager_page_split = eager;
    begin(configuration);
    EXPECT_EQ(write(0x8000, 42), Observation(Done{}));
    const auto before = splits();
    EXPECT_EQ(run(SlotFlags{.id = 0, .log = true}), Observation(Done{}));
    EXPECT_EQ(splits() - before, eager ? 1u : 0u);
    end();
  }
}

TEST_F(HostedTest, ProtectionKeys) {
  constexpr std::uint64_t key_3 = 3ull << 59;
  Configuration configuration;
  configuration.mmu = MmuKind::tdp;
  configuration.control.set(ControlBit::cr4_pke, true);
  for (const Vendor vendor : {Vendor::amd, Vendor::intel}) {
    configuration.host.vendor = vendor;
    begin(configuration);
    set(0x4000, 8, 0x8000 | pwu | key_3);
    set(0x4000, 20, 0x4000'0000 | pwu | key_3);
    EXPECT_EQ(run(SetPkru{.value = 1u << 6 | 1}), Observation(Done{}));
    EXPECT_EQ(read(0x8000), Observation(PageFault{.code = 0x25, .address = 0x8000}));
    EXPECT_EQ(read(20 * page_size), Observation(PageFault{.code = 0x25, .address = 20 * page_size}))
        << "MMIO, which KVM emulates";
    EntrySet by_guest{.vcpu = 0, .table = 0x4000, .index = 9, .value = 0x9000 | pwu};
    EXPECT_EQ(run(by_guest), Observation(Done{})) << "key 0 is denied, the window has it";
    EXPECT_EQ(run(SetPkru{}), Observation(Done{}));
    EXPECT_EQ(read(0x8000), Observation(Value{code_cell(8)}));
    end();
  }
}

TEST_F(HostedTest, StoresToProtectedPagesFail) {
  begin(MmuKind::tdp);
  EXPECT_EQ(write(0x8000, 42), Observation(Done{}));
  EXPECT_EQ(run(HostChange{.action = HostAction::protect, .hva = 0x8000, .size = page_size}),
            Observation(Done{}));
  EXPECT_EQ(write(0x8000, 43), Observation(Errno{EFAULT}));
  EXPECT_EQ(run(Poke{.gpa = 0x8000}), Observation(Errno{EFAULT}));
  EXPECT_EQ(read(0x8000), Observation(Value{42}));
  EXPECT_EQ(run(HostChange{.action = HostAction::unprotect, .hva = 0x8000, .size = page_size}),
            Observation(Done{}));
  EXPECT_EQ(write(0x8000, 43), Observation(Done{}));
  end();
}

TEST_F(HostedTest, EveryCombinationOfParametersLoads) {
  for (unsigned bits = 0; bits < 16; ++bits) {
    Configuration configuration;
    configuration.mmu = (bits & 1) != 0 ? MmuKind::tdp : MmuKind::shadow;
    configuration.host.tdp_mmu = (bits & 2) != 0;
    configuration.host.eager_page_split = (bits & 4) != 0;
    configuration.host.nx_huge_pages = (bits & 8) != 0;
    begin(configuration);
    EXPECT_EQ(write(0x8000, 42), Observation(Done{}));
    EXPECT_EQ(run(Access{.kind = AccessKind::fetch, .gva = 0x9000}), Observation(Value{9}));
    EXPECT_EQ(run(NxRecover{}), Observation(Done{}));
    EXPECT_EQ(run(MmuPages{.pages = least_mmu_pages}), Observation(Done{}));
    EXPECT_EQ(read(0x8000), Observation(Value{42}));
    end();
  }
}

/// The TDP MMU frees page tables by RCU.
TEST_F(HostedTest, GracePeriodsEndEarlyOrLate) {
  const auto freed = [&](const char* when) {
    const auto found = engine->reached().find(std::string("callbacks of RCU run ") + when);
    return found == engine->reached().end() ? 0 : found->second;
  };
  for (const bool early : {true, false}) {
    Configuration configuration;
    configuration.mmu = MmuKind::tdp;
    configuration.host.tdp_mmu = true;
    configuration.host.early_grace = early;
    begin(configuration);
    EXPECT_EQ(read(0x8000), Observation(Value{code_cell(8)}));
    const std::uint64_t before = freed("early");
    const std::uint64_t late_before = freed("late");
    EXPECT_EQ(run(SlotDelete{}), Observation(Done{}));
    EXPECT_EQ(freed("early") > before, early);
    end();
    EXPECT_EQ(freed("late") > late_before, !early);
  }
  EXPECT_GT(engine->reached().at("grace periods end early"), 0u);
  EXPECT_GT(engine->reached().at("grace periods end late"), 0u);
}

TEST_F(HostedTest, FailedAllocationsLeakNothing) {
  Configuration configuration;
  std::uint64_t sites = 1;
  begin(MmuKind::tdp);  // loads the module, and everything that stays
  end();
  for (std::uint64_t failing = 0; failing <= sites; ++failing) {
    engine->set_faults(FaultPlan::nth(failing));
    const auto begun = engine->begin(configuration, true);
    if (begun) {
      (void)run(SlotAdd{.size = configuration.memory});
      (void)run(Poke{.gpa = root, .value = 0});
      (void)read(0x8000);
      const auto ended = engine->end();
      ASSERT_TRUE(ended) << ended.error().message;
      EXPECT_EQ(print(*ended), print(Observation(Done{}))) << "site " << failing;
    } else {
      EXPECT_EQ(begun.error().message.find("leak"), std::string::npos) << begun.error().message;
    }
    sites = std::max(sites, engine->faults().sites());
    engine->set_faults({});
  }
  EXPECT_GT(sites, 10u);
  begin(MmuKind::tdp);
  end();
}

}  // namespace
}  // namespace lockstep::hw::hosted
