// SPDX-License-Identifier: GPL-2.0-or-later
// One access at a time: what the guest sees.
#include "hw/kvm/test_program.h"

namespace lockstep::hw {
namespace {

constexpr Gva page = 0x40'0000;
constexpr Gpa backing = 0x20'0000;

class AccessTest : public KvmTest {
 protected:
  void SetUp() override {
    KvmTest::SetUp();
    if (IsSkipped()) return;
    begin_with_memory(configuration());
  }
};

TEST_F(AccessTest, EverySizeAtBothPrivileges) {
  map(page, backing, rwu);
  map(page + page_size, backing + page_size, entry::present | entry::writable);
  for (const auto& [cpl, at, gpa] :
       {std::tuple{Cpl::user, page, backing},
        std::tuple{Cpl::supervisor, page + page_size, backing + page_size}}) {
    for (const unsigned size : {1u, 2u, 4u, 8u}) {
      const std::uint64_t mask = size == 8 ? ~0ull : (1ull << (8 * size)) - 1;
      EXPECT_EQ(read(at + 16, size, cpl), Observation(Value{cell_at(gpa) & mask})) << size;
      EXPECT_EQ(write(at + 64 * size, 0x1122'3344'5566'7788, size, cpl), Observation(Done{}));
      EXPECT_EQ(peek(gpa + 64 * size),
                Observation(Value{(cell_at(gpa) & ~mask) | (0x1122'3344'5566'7788 & mask)}));
    }
    EXPECT_EQ(fetch(at + 8, cpl), Observation(Value{gpa >> page_shift}));
  }
  EXPECT_EQ(count("access cpl0"), 9u);
  EXPECT_EQ(count("access cpl3"), 9u);
  EXPECT_EQ(count("access fetch"), 2u);
}

TEST_F(AccessTest, PageFaultsCarryCodeAndAddress) {
  map(page, backing, entry::present | entry::user);
  map(page + page_size, backing, entry::present | entry::writable);
  map(page + 2 * page_size, backing, rwu | entry::no_execute);
  const auto fault = [](std::uint32_t code, Gva at) { return Observation(PageFault{code, at}); };
  EXPECT_EQ(read(0x80'0000), fault(fault::user, 0x80'0000));
  EXPECT_EQ(write(0x80'0008, 1), fault(fault::user | fault::write, 0x80'0008));
  EXPECT_EQ(write(page + 16, 1), fault(fault::present | fault::user | fault::write, page + 16));
  EXPECT_EQ(read(page + page_size), fault(fault::present | fault::user, page + page_size));
  EXPECT_EQ(fetch(page + 2 * page_size),
            fault(fault::present | fault::user | fault::fetch, page + 2 * page_size));
  EXPECT_EQ(write(page, 1, 8, Cpl::supervisor), fault(fault::present | fault::write, page));
  EXPECT_EQ(read(0x80'0000, 8, Cpl::supervisor), fault(0, 0x80'0000));
  EXPECT_EQ(count("access #PF"), 7u);
  EXPECT_EQ(peek(backing), Observation(Value{cell_at(backing)}));
}

TEST_F(AccessTest, ReservedBitIsReported) {
  map(page, backing | 1ull << 45, rwu);
  EXPECT_EQ(read(page),
            Observation(PageFault{fault::present | fault::user | fault::reserved, page}));
}

TEST_F(AccessTest, NonCanonicalAddressIsGeneralProtection) {
  EXPECT_EQ(read(0x8000'0000'0000), Observation(Exception{13, 0}));
}

TEST_F(AccessTest, MmioIsAnsweredAndCompleted) {
  map(page, 0x4000'0000, rwu);
  for (const Cpl cpl : {Cpl::user, Cpl::supervisor}) {
    for (const unsigned size : {1u, 2u, 4u, 8u}) {
      EXPECT_EQ(read(page + 8, size, cpl), Observation(Mmio{false, 0x4000'0008, size, 0}));
    }
    EXPECT_EQ(write(page + 16, 0x1234, 4, cpl), Observation(Mmio{true, 0x4000'0010, 4, 0x1234}));
  }
  EXPECT_EQ(count("mmio read"), 8u);
  EXPECT_EQ(count("mmio write"), 2u);
}

TEST_F(AccessTest, FetchFromMmioIsAnInternalErrorAndTheVcpuLives) {
  map(page, 0x4000'0000, rwu);
  map(page + page_size, backing, rwu);
  for (const Cpl cpl : {Cpl::user, Cpl::supervisor}) {
    EXPECT_EQ(fetch(page, cpl), Observation(InternalError{1}));
    EXPECT_EQ(read(page + page_size, 8, cpl), Observation(Value{cell_at(backing)}));
  }
  EXPECT_EQ(count("internal error"), 2u);
}

TEST_F(AccessTest, ReadOnlySlotTurnsWritesIntoMmio) {
  if (!has(Feature::read_only_slots)) GTEST_SKIP() << "no read-only slots";
  SlotAdd slot;
  slot.id = 1;
  slot.gpa = 0x4000'0000;
  slot.size = page_size;
  slot.hva = backing;
  slot.read_only = true;
  ASSERT_EQ(run(slot), Observation(Done{}));
  map(page, slot.gpa, rwu);
  EXPECT_EQ(read(page), Observation(Value{cell_at(backing)}));
  EXPECT_EQ(write(page, 7), Observation(Mmio{true, 0x4000'0000, 8, 7}));
  EXPECT_EQ(read(page), Observation(Value{cell_at(backing)}));
}

TEST_F(AccessTest, PfFixedCountsOnlyWhatTheAccessInstalled) {
  map(page, backing, rwu);
  EXPECT_EQ(read(0x80'0000), Observation(PageFault{fault::user, 0x80'0000}));
  EXPECT_EQ(count("access pf_fixed"), 0u) << "the harness' own faults were counted";
  EXPECT_EQ(write(page, 1), Observation(Done{}));
  EXPECT_EQ(count("access pf_fixed"), 1u);
  EXPECT_EQ(write(page + 8, 1), Observation(Done{}));
  EXPECT_EQ(count("access pf_fixed"), 1u);
  // Zaps every shadow page, the harness' included.
  ASSERT_EQ(run(SlotAdd{.id = 1, .gpa = 0x4000'0000, .size = page_size}), Observation(Done{}));
  ASSERT_EQ(run(SlotDelete{.id = 1}), Observation(Done{}));
  EXPECT_EQ(read(0x80'0000), Observation(PageFault{fault::user, 0x80'0000}));
  EXPECT_EQ(count("access pf_fixed"), 1u) << "the harness' own faults were counted";
  EXPECT_EQ(read(page), Observation(Value{1}));
  EXPECT_EQ(count("access pf_fixed"), 2u);
}

TEST_F(AccessTest, AccessedAndDirtyAreSetInTheGuestEntry) {
  map(page, backing, rwu);
  EXPECT_EQ(read(page), Observation(Value{cell_at(backing)}));
  const Gpa slot = last_table_ + 8 * last_index_;
  EXPECT_EQ(peek(slot), Observation(Value{backing | rwu | entry::accessed}));
  EXPECT_EQ(write(page, 1), Observation(Done{}));
  EXPECT_EQ(peek(slot), Observation(Value{backing | rwu | entry::accessed | entry::dirty}));
}

TEST_F(AccessTest, HostPageBeyondTheFileIsRefusedBeforeKvmSeesIt) {
  const auto seen = engine_->execute(SlotAdd{.id = 1, .gpa = 0x4000'0000, .size = 32ull << 20});
  ASSERT_FALSE(seen);
  EXPECT_NE(seen.error().message.find("leaves the program's memory"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::hw
