// SPDX-License-Identifier: GPL-2.0-or-later
// Ring-0 commands, stores through the harness window, several vCPUs.
#include "hw/kvm/test_program.h"

namespace lockstep::hw {
namespace {

constexpr Gva page = 0x40'0000;
constexpr Gpa first = 0x20'0000;
constexpr Gpa second = 0x20'1000;
const Observation done = Done{};

Observation general_protection() { return Exception{13, 0}; }

class GuestCommandsTest : public KvmTest {
 protected:
  void SetUp() override {
    KvmTest::SetUp();
    if (IsSkipped()) return;
    Configuration with = configuration();
    with.vcpus = 2;
    with.roots = {root, 0x2000};
    with.tables = 0x1'0000;
    begin_with_memory(with);
  }

  Observation guest_store(unsigned vcpu, Gpa table, unsigned index, std::uint64_t value) {
    EntrySet entry;
    entry.vcpu = vcpu;
    entry.table = table;
    entry.index = index;
    entry.value = value;
    return run(entry);
  }
  Observation read_on(unsigned vcpu, Gva gva) {
    Access read = access(AccessKind::read, gva);
    read.vcpu = vcpu;
    return run(read);
  }
  Observation control(ControlBit bit, bool on) {
    SetControl set;
    set.bit = bit;
    set.on = on;
    return run(set);
  }
};

TEST_F(GuestCommandsTest, GuestStoreRemapsAfterInvlpg) {
  map(page, first, rwu);
  EXPECT_EQ(read(page), Observation(Value{cell_at(first)}));
  EXPECT_EQ(guest_store(0, last_table_, last_index_, second | rwu), done);
  EXPECT_EQ(run(Invlpg{.gva = page}), done);
  EXPECT_EQ(read(page), Observation(Value{cell_at(second)}));
  EXPECT_EQ(count("entry write"), 1u);
  EXPECT_EQ(count("invlpg"), 1u);
}

TEST_F(GuestCommandsTest, GuestStoreWithoutASlotIsMmio) {
  ASSERT_EQ(run(SlotDelete{}), done);
  // The harness window starts at gpa 0; keep only the part with the tables.
  ASSERT_EQ(run(SlotAdd{.size = 0x10'0000}), done);
  EXPECT_EQ(guest_store(0, 0x18'0000, 2, 0x77), Observation(Mmio{true, 0x18'0010, 8, 0x77}));
}

TEST_F(GuestCommandsTest, Cr3SwitchesTheRoot) {
  map(page, first, rwu, /*top=*/root);
  map(page, second, rwu, /*top=*/0x2000);
  EXPECT_EQ(read(page), Observation(Value{cell_at(first)}));
  EXPECT_EQ(run(LoadCr3{.root = 0x2000}), done);
  EXPECT_EQ(read(page), Observation(Value{cell_at(second)}));
  EXPECT_EQ(run(LoadCr3{.root = root}), done);
  EXPECT_EQ(read(page), Observation(Value{cell_at(first)}));
  EXPECT_EQ(count("cr3"), 2u);
}

TEST_F(GuestCommandsTest, TwoVcpusHaveTheirOwnRoots) {
  map(page, first, rwu, /*top=*/root);
  map(page, second, rwu, /*top=*/0x2000);
  EXPECT_EQ(read_on(1, page), Observation(Value{cell_at(first)}));
  EXPECT_EQ(run(LoadCr3{.vcpu = 1, .root = 0x2000}), done);
  EXPECT_EQ(read_on(1, page), Observation(Value{cell_at(second)}));
  EXPECT_EQ(read_on(0, page), Observation(Value{cell_at(first)}));
  EXPECT_EQ(count("vcpu1"), 2u);
}

TEST_F(GuestCommandsTest, TwoVcpusShareMemory) {
  map(page, first, rwu);
  Access store = access(AccessKind::write, page, Cpl::user, 0xabcd);
  store.vcpu = 1;
  EXPECT_EQ(run(store), done);
  EXPECT_EQ(read_on(0, page), Observation(Value{0xabcd}));
}

TEST_F(GuestCommandsTest, WriteProtectBindsTheSupervisor) {
  map(page, first, entry::present);
  EXPECT_EQ(write(page, 1, 8, Cpl::supervisor),
            Observation(PageFault{fault::present | fault::write, page}));
  EXPECT_EQ(control(ControlBit::cr0_wp, false), done);
  EXPECT_EQ(write(page, 1, 8, Cpl::supervisor), done);
  EXPECT_EQ(control(ControlBit::cr0_wp, true), done);
  EXPECT_EQ(write(page, 2, 8, Cpl::supervisor),
            Observation(PageFault{fault::present | fault::write, page}));
  EXPECT_EQ(peek(first), Observation(Value{1}));
}

TEST_F(GuestCommandsTest, NoExecuteIsReservedWithoutEferNx) {
  constexpr Gva other = page + page_size;
  map(page, first, rwu | entry::no_execute);
  map(other, second, rwu | entry::no_execute);
  EXPECT_EQ(read(page), Observation(Value{cell_at(first)}));
  EXPECT_EQ(control(ControlBit::efer_nx, false), done);
  // On a page that no shadow page holds yet: kvm_pvm keeps translating one that
  // it shadowed before the WRMSR, even after INVLPG.
  EXPECT_EQ(read(other),
            Observation(PageFault{fault::present | fault::user | fault::reserved, other}));
  EXPECT_EQ(control(ControlBit::efer_nx, true), done);
  EXPECT_EQ(read(other), Observation(Value{cell_at(second)}));
}

TEST_F(GuestCommandsTest, ControlBitsWithoutTheFeatureFault) {
  const std::pair<ControlBit, Feature> bits[] = {
      {ControlBit::cr4_smep, Feature::smep}, {ControlBit::cr4_smap, Feature::smap},
      {ControlBit::cr4_pke, Feature::pke},   {ControlBit::cr4_pcide, Feature::pcid},
      {ControlBit::cr4_pge, Feature::pge},   {ControlBit::cr4_pse, Feature::pse}};
  // kvm_pvm lets a guest set SMEP, SMAP and PKE that its CPUID lacks.
  const bool lenient = probe()->style.interpreted_ring0;
  for (const auto& [bit, feature] : bits) {
    const Observation seen = control(bit, true);
    if (has(feature)) {
      EXPECT_EQ(seen, done) << name(feature);
    } else if (!lenient || feature == Feature::pcid) {
      EXPECT_EQ(seen, general_protection()) << name(feature);
    }
    EXPECT_EQ(control(bit, false), done) << name(feature);
  }
}

TEST_F(GuestCommandsTest, InvpcidFlushesWhereItExists) {
  if (!has(Feature::invpcid)) GTEST_SKIP() << "no INVPCID";
  map(page, first, rwu);
  EXPECT_EQ(read(page), Observation(Value{cell_at(first)}));
  EXPECT_EQ(guest_store(0, last_table_, last_index_, second | rwu), done);
  EXPECT_EQ(run(Invpcid{.type = InvpcidType::all}), done);
  EXPECT_EQ(read(page), Observation(Value{cell_at(second)}));
}

TEST_F(GuestCommandsTest, TranslateWalksTheGuestTables) {
  map(page, first, rwu);
  EXPECT_EQ(run(Translate{.gva = page + 0x123}), Observation(Translation{first + 0x123}));
  EXPECT_EQ(run(Translate{.gva = 0x7000'0000'0000}), Observation(Translation{}));
}

TEST_F(GuestCommandsTest, LostRootIsUnexpectedAndTheProgramGoesOn) {
  EXPECT_EQ(run(Invlpg{.gva = page}), done);
  ASSERT_EQ(run(SlotDelete{}), done);
  EXPECT_TRUE(std::holds_alternative<Unexpected>(read(page)));
  ASSERT_EQ(run(SlotAdd{.size = configuration_.memory}), done);
  map(page, first, rwu);
  EXPECT_EQ(read(page), Observation(Value{cell_at(first)}));
}

TEST_F(GuestCommandsTest, StartWithoutARootIsAnEngineError) {
  end();
  begin(configuration());
  const auto seen = engine_->execute(Invlpg{});
  ASSERT_FALSE(seen);
  EXPECT_NE(seen.error().message.find("no slot backs root"), std::string::npos);
}

TEST_F(GuestCommandsTest, ImpossibleSizeIsAnEngineError) {
  EXPECT_FALSE(engine_->execute(access(AccessKind::read, page, Cpl::user, 0, /*size=*/3)));
}

TEST_F(GuestCommandsTest, EndlessGuestCodeIsALivelock) {
  map(page, first, rwu);
  ASSERT_EQ(run(Poke{.gpa = first, .value = 0xfeeb}), done);  // jmp to itself
  EXPECT_TRUE(std::holds_alternative<Livelock>(fetch(page)));
  EXPECT_EQ(read(page), Observation(Value{0xfeeb}));
}

TEST(NonPaging, LinearIsPhysical) {
  const auto probe = probe_kvm();
  if (!probe) GTEST_SKIP() << probe.error().message;
  if (!probe->platform.features.test(static_cast<std::size_t>(Feature::paging_none))) {
    GTEST_SKIP() << "no non-paging guests";
  }
  auto engine = open_kvm_engine(*probe);
  ASSERT_TRUE(engine);
  Configuration with;
  with.paging = PagingMode::none;
  with.maxphyaddr = std::min(40u, probe->platform.max_maxphyaddr);
  ASSERT_TRUE((*engine)->begin(with, false));
  ASSERT_EQ(*(*engine)->execute(SlotAdd{.size = with.memory}), done);
  for (const Cpl cpl : {Cpl::user, Cpl::supervisor}) {
    Access read{.kind = AccessKind::read, .cpl = cpl, .gva = 0x5000, .size = 4};
    EXPECT_EQ(*(*engine)->execute(read), Observation(Value{cell_at(0x5000) & 0xffff'ffff}));
    read.gva = 0x4000'0000;
    EXPECT_EQ(*(*engine)->execute(read), Observation(Mmio{false, 0x4000'0000, 4, 0}));
    read.kind = AccessKind::fetch;
    read.gva = 0x6000;
    EXPECT_EQ(*(*engine)->execute(read), Observation(Value{6}));
  }
  EntrySet entry;
  entry.vcpu = 0;
  entry.table = 0x7000;
  entry.value = 0x1122'3344'5566'7788;
  EXPECT_EQ(*(*engine)->execute(entry), done);
  EXPECT_EQ(*(*engine)->execute(Peek{.gpa = 0x7000}), Observation(Value{entry.value}));
}

}  // namespace
}  // namespace lockstep::hw
