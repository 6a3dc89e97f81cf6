// SPDX-License-Identifier: GPL-2.0-or-later
/// Where KVM departs from the manual: admitted by name, on the platforms that
/// do it, and nowhere else.
#include <gtest/gtest.h>

#include "spec/kvm/modelled.h"

namespace lockstep::spec {
namespace {

TEST(Deviations, NotPresentFaultKeepsTheEntryUnderShadowPagingOnly) {
  for (const auto& [platform, then] : {std::pair{shadow(), admitted}, std::pair{tdp(), refused}}) {
    Modelled m(platform);
    EXPECT_EQ(m.run(read, page(0x200)), admitted);
    m.leaf(0x200000);
    EXPECT_EQ(m.run(read, PageFault{fault::user, 0}), admitted);
    EXPECT_EQ(m.run(read, page(0x200)), then);
    EXPECT_EQ(m.used(Looseness::fault_keeps_entry), then == admitted ? 1u : 0u);
  }
}

TEST(Deviations, KeptEntryMayServeEvenWhereAFreshWalkWould) {
  Modelled m(shadow());
  const Access write{0, AccessKind::write, Cpl::user, 0, 1};
  EXPECT_EQ(m.run(write), admitted);
  m.leaf(0x200000);
  EXPECT_EQ(m.run(read, PageFault{fault::user, 0}), admitted);
  m.leaf(0x200000 | rwu | entry::accessed);
  EXPECT_EQ(m.run(write), admitted);
  EXPECT_EQ(m.run(Peek{0x4000}, Value{0x200000 | rwu | entry::accessed}), admitted)
      << "the entry that was kept has its dirty flag";
}

TEST(Deviations, PermissionFaultDropsTheEntryEverywhere) {
  Modelled m(shadow());
  const Access write{0, AccessKind::write, Cpl::user, 0, 1};
  EXPECT_EQ(m.run(write), admitted);
  m.leaf(0x200000 | entry::present | entry::user);
  EXPECT_EQ(m.run(write, PageFault{fault::present | fault::write | fault::user, 0}), admitted);
  EXPECT_EQ(m.run(write), refused);
}

TEST(Deviations, WriteProtectExchangeHidesAUserPageFromSmap) {
  Configuration configuration = with(ControlBit::cr4_smap, true);
  configuration.control.set(ControlBit::cr0_wp, false);
  const Access kernel_read{0, AccessKind::read, Cpl::supervisor, 0};
  const Access kernel_write{0, AccessKind::write, Cpl::supervisor, 0, 1, 8, /*ac=*/true};
  const std::uint64_t read_only = 0x200000 | entry::present | entry::user;
  Modelled exchanged(shadow(), configuration);
  exchanged.leaf(read_only);
  EXPECT_EQ(exchanged.run(kernel_write), admitted);
  EXPECT_EQ(exchanged.run(kernel_read, Value{1}), admitted);
  EXPECT_EQ(exchanged.used(Looseness::wp_exchange), 1u);
  Modelled untouched(shadow(), configuration);
  untouched.leaf(read_only);
  EXPECT_EQ(untouched.run(kernel_read, page(0x200)), refused) << "nothing was exchanged yet";
  Modelled hardware(tdp(), configuration);
  hardware.leaf(read_only);
  EXPECT_EQ(hardware.run(kernel_write), admitted);
  EXPECT_EQ(hardware.run(kernel_read, Value{1}), refused);
}

TEST(Deviations, ShadowPagesOutliveNoExecute) {
  for (const auto& [platform, then] : {std::pair{shadow(), admitted}, std::pair{tdp(), refused}}) {
    Modelled m(platform);
    m.leaf(0x200000 | rwu | nx);
    EXPECT_EQ(m.run(read, page(0x200)), admitted);
    m.run(SetControl{0, ControlBit::efer_nx, false});
    m.run(LoadCr3{0, 0x1000});
    EXPECT_EQ(m.run(read, page(0x200)), then);
  }
}

TEST(Deviations, TableOutsideEverySlotIsTakenForTheTargetUnderTdp) {
  constexpr Gpa table = 0x8000'0000;
  for (const auto& [platform, then] : {std::pair{tdp(), admitted}, std::pair{shadow(), refused}}) {
    Modelled m(platform);
    m.run(EntrySet{0, TableLevel::pd, 0x3000, 0, table | rwu});
    EXPECT_EQ(m.run(read, Mmio{false, table, 8, 0}), then);
    const Access elsewhere{0, AccessKind::read, Cpl::user, 8};
    Modelled other(platform);
    other.run(EntrySet{0, TableLevel::pd, 0x3000, 0, table | rwu});
    EXPECT_EQ(other.run(elsewhere, Mmio{false, table, 8, 0}), refused) << "another offset";
  }
}

TEST(Deviations, TableInReadOnlySlotFaultsForEverUnderTdp) {
  constexpr Gpa table = 0x8000'0000;
  for (const auto& [platform, then] : {std::pair{tdp(), admitted}, std::pair{shadow(), refused}}) {
    Modelled m(platform);
    EXPECT_EQ(m.run(read, Livelock{livelock_bound}), refused);
    m.run(SlotAdd{3, table, 0x1000, 0x8000, false, true});
    m.run(EntrySet{0, TableLevel::pd, 0x3000, 0, table | rwu});
    EXPECT_EQ(m.run(read, Livelock{livelock_bound}), then);
  }
}

TEST(Deviations, PvmUpperHalfFaultsAtCpl3) {
  const Gva upper = 0xffff'8000'0000'0000ull;
  const PageFault fault{fault::present | fault::user | fault::reserved, upper};
  Modelled m(pvm());
  EXPECT_EQ(m.run(Access{0, AccessKind::read, Cpl::user, upper}, fault), admitted);
  EXPECT_EQ(m.used(Looseness::pvm_upper_half), 1u);
  Modelled plain(shadow());
  EXPECT_EQ(plain.run(Access{0, AccessKind::read, Cpl::user, upper}, fault), refused);
}

TEST(Deviations, FetchFlagIn32BitPagingOfAShadowedGuest) {
  const Access fetch{0, AccessKind::fetch, Cpl::user, 0x800000};
  const PageFault with_flag{fault::user | fault::fetch, 0x800000};
  for (const auto& [platform, then] : {std::pair{shadow(), admitted}, std::pair{tdp(), refused}}) {
    Configuration configuration;
    configuration.paging = PagingMode::bits32;
    Machine machine(configuration, platform);
    machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
    machine.judge(EntrySet{std::nullopt, TableLevel::pd, 0x1000, 2, 0}, Done{});
    EXPECT_EQ(machine.judge(fetch, with_flag).kind, then);
  }
}

TEST(Deviations, Pse36StopsAt36BitsUnderShadowPaging) {
  Configuration configuration = with(ControlBit::cr4_pse, true);
  configuration.paging = PagingMode::bits32;
  const Access access{0, AccessKind::read, Cpl::user, 0, 0, 4};
  for (const auto& [platform, then] : {std::pair{shadow(), admitted}, std::pair{tdp(), refused}}) {
    Machine machine(configuration, platform);
    machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
    machine.judge(
        EntrySet{std::nullopt, TableLevel::pd, 0x1000, 0, rwu | entry::page_size | (1ull << 17)},
        Done{});
    const PageFault fault{fault::present | fault::user | fault::reserved, 0};
    EXPECT_EQ(machine.judge(access, fault).kind, then);
  }
}

TEST(Freedom, AVcpuWasUpBeforeItsFirstCommand) {
  Modelled m(shadow());
  EXPECT_EQ(m.run(read, page(0x200)), admitted);
  m.leaf(0x202000 | rwu, /*vcpu=*/1);
  EXPECT_EQ(m.run(Access{1, AccessKind::read, Cpl::user, 0}, page(0x200)), admitted);
}

TEST(Deviations, ShadowPagesOutlivePageSizeExtension) {
  const Access large{0, AccessKind::read, Cpl::user, 0x400000, 0, 4};
  for (const auto& [platform, then] : {std::pair{shadow(), admitted}, std::pair{tdp(), refused}}) {
    Configuration configuration = with(ControlBit::cr4_pse, true);
    configuration.paging = PagingMode::bits32;
    Machine machine(configuration, platform);
    machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
    machine.judge(EntrySet{std::nullopt, TableLevel::pd, 0x1000, 1, rwu | entry::page_size},
                  Done{});
    const Value cell{code_cell(0) & 0xffff'ffff};
    EXPECT_EQ(machine.judge(large, cell).kind, admitted);
    machine.judge(SetControl{0, ControlBit::cr4_pse, false}, Done{});
    machine.judge(LoadCr3{0, 0x1000}, Done{});
    EXPECT_EQ(machine.judge(large, cell).kind, then) << "page 0 holds no present entries";
  }
}

TEST(Deviations, APdpteOutsideEverySlotMayEndTheVcpuUnderShadowPaging) {
  const Unexpected shutdown{"KVM exit 8"};
  for (const bool backed : {false, true}) {
    Configuration configuration;
    configuration.paging = PagingMode::pae;
    configuration.roots = {0x1000, 0x3000};
    Machine machine(configuration, shadow());
    machine.judge(SlotAdd{0, 0, 0x10000, 0}, Done{});
    const Gpa table = backed ? 0x4000 : 0x800000;
    machine.judge(EntrySet{std::nullopt, TableLevel::pdpt, 0x3000, 1, table | entry::present},
                  Done{});
    EXPECT_EQ(machine.judge(LoadCr3{0, 0x3000}, shutdown).kind,
              backed ? refused : Judgement::Kind::undecided);
  }
}

TEST(Freedom, StoreThroughAnotherGfnOfATable) {
  Modelled m(shadow());
  m.run(SlotAdd{1, 0x800000, 0x400000, 0});  // the same host pages again
  m.run(EntrySet{std::nullopt, TableLevel::pt, 0x4000, 1, 0x804000 | rwu});
  EXPECT_EQ(m.run(read, page(0x200)), admitted);
  const Access alias{0, AccessKind::write, Cpl::user, 0x1000, 0x201000 | rwu};
  EXPECT_EQ(m.run(alias), admitted);
  m.run(Invlpg{0, 0});
  EXPECT_EQ(m.run(read, page(0x200)), admitted) << "KVM write-protects by gfn";
}

TEST(Freedom, TranslateMaySetAccessedFlags) {
  Modelled m(shadow());
  EXPECT_EQ(m.run(Translate{0, 0}, Translation{0x200000}), admitted);
  EXPECT_EQ(m.run(SlotFlags{0, /*log=*/true, false}), admitted);
  EXPECT_EQ(m.run(read, page(0x200)), admitted);
  const DirtyBitmap none{0x400, std::vector<std::uint64_t>(16)};
  EXPECT_EQ(m.run(DirtyGet{0}, none), admitted) << "every flag may have been set before";
}

TEST(Freedom, AFaultingWalkMayHaveSetFlagsBeforeTheLogBegan) {
  Modelled m(tdp());
  m.leaf(0);
  EXPECT_EQ(m.run(read, PageFault{fault::user, 0}), admitted);
  m.leaf(0x200000 | rwu);
  EXPECT_EQ(m.run(SlotFlags{0, /*log=*/true, false}), admitted);
  EXPECT_EQ(m.run(read, page(0x200)), admitted);
  DirtyBitmap leaf_alone{0x400, std::vector<std::uint64_t>(16)};
  leaf_alone.words[0] = 1ull << 4;
  EXPECT_EQ(m.run(DirtyGet{0}, leaf_alone), admitted)
      << "the upper flags may stand since the fault";
}

TEST(Freedom, AnAccessThatNeverEndsMayHaveSetTheUpperFlags) {
  constexpr Gpa table = 0x8000'0000;
  Modelled m(tdp());
  m.run(SlotAdd{3, table, 0x1000, 0x8000, false, true});
  m.run(EntrySet{0, TableLevel::pd, 0x3000, 0, table | rwu});
  EXPECT_EQ(m.run(read, Livelock{livelock_bound}), admitted);
  m.run(EntrySet{0, TableLevel::pd, 0x3000, 0, 0x4000 | rwu});
  EXPECT_EQ(m.run(SlotFlags{0, /*log=*/true, false}), admitted);
  EXPECT_EQ(m.run(read, page(0x200)), admitted);
  DirtyBitmap lower_two{0x400, std::vector<std::uint64_t>(16)};
  lower_two.words[0] = 1ull << 3 | 1ull << 4;
  EXPECT_EQ(m.run(DirtyGet{0}, lower_two), admitted);
}

TEST(Deviations, FetchOutsideMemoryUnderTdpIsWalkedByKvm) {
  // Hardware maps PSE-36 pages as the manual says; KVM, which emulates the fetch
  // from no memory, stops at 36 bits and reports I/D.
  const Access fetch{0, AccessKind::fetch, Cpl::user, 0};
  const PageFault by_kvm{fault::present | fault::user | fault::reserved | fault::fetch, 0};
  for (const bool outside : {true, false}) {
    Configuration configuration = with(ControlBit::cr4_pse, true);
    configuration.paging = PagingMode::bits32;
    Machine machine(configuration, tdp());
    machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
    machine.judge(SlotAdd{1, 1ull << 36, 0x1000, 0x400000}, Done{});
    machine.judge(EntrySet{std::nullopt, TableLevel::pd, 0x1000, 0,
                           rwu | entry::page_size | (1ull << (outside ? 18 : 17))},
                  Done{});
    EXPECT_EQ(machine.judge(fetch, by_kvm).kind, outside ? admitted : refused);
  }
}

TEST(Deviations, ShadowPagesKnowNoPcid) {
  for (const auto& [platform, then] : {std::pair{shadow(), admitted}, std::pair{tdp(), refused}}) {
    Modelled m(platform, with(ControlBit::cr4_pcide, true));
    m.run(LoadCr3{0, 0x1000, /*pcid=*/1});
    m.run(Invpcid{0, InvpcidType::all_and_global, 0, 0});
    EXPECT_EQ(m.run(read, page(0x200)), admitted);
    m.leaf(0x201000 | rwu);
    m.run(LoadCr3{0, 0x1000, /*pcid=*/0, /*noflush=*/true});
    EXPECT_EQ(m.run(read, page(0x200)), then) << "nothing was cached under PCID 0";
    EXPECT_EQ(m.used(Looseness::pcid_shared), then == admitted ? 1u : 0u);
  }
}

// Shadow pages know no PCID, and yet a root leads to its own tables.
TEST(Deviations, AnotherRootsTranslationIsNotUsedUnderThisOne) {
  Configuration configuration = with(ControlBit::cr4_pcide, true);
  configuration.roots = {0x1000, 0x6000};
  Machine machine(configuration, shadow());
  machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
  const auto set = [&](TableLevel level, Gpa table, Gpa to) {
    machine.judge(EntrySet{std::nullopt, level, table, 0, to | rwu}, Done{});
  };
  for (const Gpa root : {Gpa{0x1000}, Gpa{0x6000}}) {
    set(TableLevel::pml4, root, root + 0x1000);
    set(TableLevel::pdpt, root + 0x1000, root + 0x2000);
    set(TableLevel::pd, root + 0x2000, root + 0x3000);
  }
  set(TableLevel::pt, 0x4000, 0x200000);
  set(TableLevel::pt, 0x9000, 0x201000);
  EXPECT_EQ(machine.judge(LoadCr3{0, 0x6000, /*pcid=*/1}, Done{}).kind, admitted);
  EXPECT_EQ(machine.judge(read, page(0x201)).kind, admitted);
  EXPECT_EQ(machine.judge(LoadCr3{0, 0x1000, /*pcid=*/2, /*noflush=*/true}, Done{}).kind, admitted);
  EXPECT_EQ(machine.judge(read, page(0x201)).kind, refused);
}

TEST(Deviations, AHostPageWithTwoGfnsEscapesTheDirtyLog) {
  for (const auto& [platform, then] : {std::pair{shadow(), admitted}, std::pair{tdp(), refused}}) {
    for (const bool aliased : {true, false}) {
      Modelled m(platform);
      m.run(SlotAdd{1, 0x800000, 0x1000, 0x200000, /*log=*/true});
      if (!aliased) m.run(SlotDelete{0});
      if (!aliased) m.run(SlotAdd{0, 0, 0x200000, 0});
      m.leaf(0x800000 | rwu | entry::accessed | entry::dirty);
      EXPECT_EQ(m.run(Access{0, AccessKind::write, Cpl::user, 0, 1}), admitted);
      EXPECT_EQ(m.run(DirtyGet{1}, DirtyBitmap{1, {0}}), aliased ? then : refused);
    }
  }
}

// What deletes the slot alone goes by its rmaps, and the SPTE stands in the other gfn's.
TEST(Deviations, AHostPageWithTwoGfnsOutlivesASlotThatGoesAlone) {
  for (const bool zap_all : {false, true}) {
    Configuration configuration;
    configuration.slot_zap_all = zap_all;
    for (const auto& [platform, kept] : {std::pair{shadow(), !zap_all}, std::pair{tdp(), false}}) {
      Modelled m(platform, configuration);
      m.run(SlotAdd{1, 0x800000, 0x1000, 0x200000});
      EXPECT_EQ(m.run(read, page(0x200)), admitted);
      m.leaf(0x800000 | rwu);
      m.run(Invlpg{0, 0});
      EXPECT_EQ(m.run(read, page(0x200)), admitted);
      m.run(SlotDelete{1});
      EXPECT_EQ(m.run(read, page(0x200)), kept ? admitted : refused);
    }
  }
}

TEST(Deviations, NestedPagingReadsAPdpteAtAnyMomentSinceTheRootWasLoaded) {
  Configuration configuration;
  configuration.paging = PagingMode::pae;
  configuration.vcpus = 2;
  Platform amd = tdp();
  amd.amd = true;
  for (const auto& [platform, then] : {std::pair{amd, admitted}, std::pair{tdp(), refused}}) {
    Machine machine(configuration, platform);
    machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
    const EntrySet present{0, TableLevel::pdpt, 0x1000, 0, 0x3000 | entry::present};
    machine.judge(EntrySet{std::nullopt, TableLevel::pdpt, 0x1000, 0, present.value}, Done{});
    machine.judge(EntrySet{std::nullopt, TableLevel::pd, 0x3000, 0, rwu | entry::page_size},
                  Done{});
    machine.judge(Translate{1, 0}, Translation{0});
    machine.judge(EntrySet{0, TableLevel::pdpt, 0x1000, 0, 0}, Done{});
    machine.judge(present, Done{});
    const Access on_the_other{1, AccessKind::read, Cpl::user, 0x5000};
    EXPECT_EQ(machine.judge(on_the_other, PageFault{fault::user, 0x5000}).kind, then);
  }
}

// Hardware that reads the PDPTE late checks the host's reserved bits below it.
TEST(Deviations, APdpteReadLateLeadsToTheHostsReservedBits) {
  Configuration configuration;
  configuration.paging = PagingMode::pae;
  configuration.vcpus = 2;
  configuration.maxphyaddr = 36;
  Platform amd = tdp();
  amd.amd = true;
  for (const unsigned width : {36u, 46u}) {
    amd.host_maxphyaddr = width;
    Machine machine(configuration, amd);
    machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
    const Gpa far = 1ull << 40;
    for (const auto& [table, value] :
         {std::pair<Gpa, std::uint64_t>{0x3000, 0x4000 | rwu}, {0x4000, far | rwu}}) {
      machine.judge(EntrySet{std::nullopt, TableLevel::pt, table, 0, value}, Done{});
    }
    machine.judge(Translate{1, 0}, Translation{});
    const EntrySet present{0, TableLevel::pdpt, 0x1000, 0, 0x3000 | entry::present};
    machine.judge(present, Done{});
    EXPECT_EQ(machine.judge(Access{1, AccessKind::read, Cpl::user, 0}, Mmio{false, far, 8, 0}).kind,
              width == 46 ? admitted : refused);
  }
}

// Hardware's walk leaves memory behind the old PDPTE; KVM emulates, reads the new one, and
// cannot store where the host protects.
TEST(Deviations, WhatLeavesMemoryIsEmulatedWhereverKvmsOwnWalkLeads) {
  Configuration configuration;
  configuration.paging = PagingMode::pae;
  configuration.maxphyaddr = 36;
  Platform amd = tdp();
  amd.amd = true;
  for (const unsigned width : {36u, 46u}) {
    amd.host_maxphyaddr = width;
    Machine machine(configuration, amd);
    machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
    machine.judge(SlotAdd{1, 0x800000, 0x1000, 0x400000}, Done{});
    for (const auto& [table, value] :
         {std::pair<Gpa, std::uint64_t>{0x1000, 0x3000 | entry::present},
          {0x3000, (1ull << 40) | rwu},
          {0x4000, 0x5000 | rwu},
          {0x5000, 0x800000 | rwu}}) {
      machine.judge(EntrySet{std::nullopt, TableLevel::pt, table, 0, value}, Done{});
    }
    const EntrySet late{0, TableLevel::pdpt, 0x1000, 0, 0x4000 | entry::present};
    EXPECT_EQ(machine.judge(late, Done{}).kind, admitted);
    const HostChange protect{HostAction::protect, 0x400000, 0x1000};
    EXPECT_EQ(machine.judge(protect, Done{}).kind, admitted);
    EXPECT_EQ(
        machine.judge(Access{0, AccessKind::write, Cpl::user, 0x28, 5}, Mmio{true, 0x800028, 8, 5})
            .kind,
        width == 46 ? admitted : refused);
  }
}

TEST(Freedom, AWalkMaySetFlagsInATableThatIsAlsoAPdpt) {
  Configuration configuration;
  configuration.paging = PagingMode::pae;
  configuration.roots = {0x1000, 0x5000};
  for (const bool walked : {true, false}) {
    Machine machine(configuration, shadow());
    machine.judge(SlotAdd{0, 0, 0x400000, 0}, Done{});
    const auto set = [&](TableLevel level, Gpa table, std::uint64_t value) {
      machine.judge(EntrySet{std::nullopt, level, table, 0, value}, Done{});
    };
    set(TableLevel::pdpt, 0x1000, 0x3000 | entry::present);
    set(TableLevel::pd, 0x3000, 0x5000 | rwu);
    set(TableLevel::pdpt, 0x5000, 0x6000 | entry::present);
    if (walked) machine.judge(Translate{0, 0}, Translation{0x6000});
    EXPECT_EQ(machine.judge(LoadCr3{0, 0x5000}, Exception{13, 0}).kind,
              walked ? Judgement::Kind::undecided : refused);
  }
}

TEST(Freedom, WhatWasMappedBeforeASlotMovedExplainsItsDirtyLog) {
  for (const bool mapped : {true, false}) {
    Modelled m(shadow());
    m.run(EntrySet{std::nullopt, TableLevel::pt, 0x4000, 1,
                   0x800000 | (mapped ? rwu | entry::accessed | entry::dirty : 0)});
    m.run(SlotAdd{1, 0x800000, 0x1000, 0x300000, /*log=*/true});
    m.run(read, page(0x200));
    m.run(SlotMove{1, 0x1000000});
    EXPECT_EQ(m.run(DirtyGet{1}, DirtyBitmap{1, {1}}), mapped ? admitted : refused);
  }
}

TEST(Freedom, AFlagsChangeThatChangesNothingBeginsNoGeneration) {
  Modelled m(shadow());
  m.leaf(0x800000 | rwu);
  EXPECT_EQ(m.run(read, Mmio{false, 0x800000, 8, 0}), admitted);
  m.run(EntrySet{0, TableLevel::pt, 0x4000, 1, 0});
  m.run(SlotAdd{1, 0x800000, 0x1000, 0x8000});
  m.run(LoadCr3{0, 0x1000});
  m.run(SlotFlags{1, false, false});
  EXPECT_EQ(m.run(read, Mmio{false, 0x800000, 8, 0}), admitted);
}

TEST(Freedom, FetchOfOtherBytesIsUndecided) {
  Modelled m(shadow());
  EXPECT_EQ(m.run(Access{0, AccessKind::write, Cpl::user, 0, 7}), admitted);
  const Access fetch{0, AccessKind::fetch, Cpl::user, 0};
  EXPECT_EQ(m.run(fetch, Exception{6, 0}), Judgement::Kind::undecided);
  EXPECT_TRUE(std::holds_alternative<Unexpected>(m.machine.admitted(fetch).front()));
}

// Four levels of EPT are what KVM gives a guest of at most 48 bits, on a host of 52 too.
TEST(Deviations, WhatLeavesFourLevelsOfEptIsUndecided) {
  for (const bool ept : {false, true}) {
    Platform platform = tdp();
    platform.host_maxphyaddr = 52;
    platform.four_level_ept = ept;
    for (const unsigned bit : {47u, 48u}) {
      Modelled m(platform);
      EXPECT_EQ(m.leaf(1ull << bit | 0x200000 | rwu), admitted);
      const bool undefined = bit == 48 && ept;
      const auto judgement =
          m.machine.judge(read, PageFault{fault::present | fault::user | fault::reserved, 0});
      EXPECT_EQ(judgement.kind, undefined ? Judgement::Kind::undecided : admitted);
      EXPECT_FALSE(judgement.bound_passed);
    }
  }
}

}  // namespace
}  // namespace lockstep::spec
