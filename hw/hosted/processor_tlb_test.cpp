// SPDX-License-Identifier: GPL-2.0-or-later
#include <string>

#include "hw/hosted/processor_fixture.h"

namespace lockstep::hw::hosted {
namespace {

class ProcessorTlbTest : public ProcessorTest {};
class ProcessorKeysTest : public NestedProcessorTest {};

TEST_F(ProcessorTlbTest, SaysWhichTranslationAFlushMustStillTake) {
  EXPECT_FALSE(processors->overdue(0, first_table)) << "never run";
  map(0x5000, 7);
  (void)read(0x5000);
  EXPECT_FALSE(processors->overdue(0, first_table));
  map(0x5000, 8);
  ASSERT_TRUE(processors->overdue(0, first_table));
  EXPECT_EQ(processors->overdue(0, first_table)->frame, 7u);
  EXPECT_FALSE(processors->overdue(0, first_table + 1)) << "another root comes with a flush";
  EXPECT_FALSE(processors->overdue(1, first_table));
  processors->invalidate_all(0);
  EXPECT_FALSE(processors->overdue(0, first_table));
}

TEST_F(ProcessorTlbTest, LooksAtTheCpuWhereTheVcpuRanLast) {
  map(0x5000, 7);
  (void)read(0x5000);
  map(0x5000, 8);
  processors->be_cpu(1);
  (void)read(0x5000);
  EXPECT_FALSE(processors->overdue(0, first_table)) << "CPU 0 keeps it, and is asked no more";
  processors->be_cpu(0);
  EXPECT_FALSE(processors->overdue(0, first_table)) << "not yet";
  (void)read(0x5000);
  processors->be_cpu(1);
  EXPECT_TRUE(processors->overdue(0, first_table)) << "whoever asks";
}

/// Two CPUs hand out the same ASIDs, and flush their own translations.
class CpusTlbTest : public ProcessorTest {
 protected:
  void SetUp() override {
    ProcessorTest::SetUp();
    map(0x5000, 7);
    ASSERT_EQ(frame_on(0), 7u);
    map(0x5000, 8);
    ASSERT_EQ(frame_on(1), 8u) << "the same ASID of another CPU";
    map(0x5000, 9);
  }
  /// The host frame that a read on that CPU reaches.
  Hfn frame_on(unsigned cpu) {
    processors->be_cpu(cpu);
    for (Hfn frame = 7; frame < 10; ++frame) {
      EXPECT_TRUE(arena->store(frame << page_shift, frame, 8));
    }
    (void)read(0x5000);
    return seen().value;
  }
  void expect_flushed_on_1() {
    EXPECT_EQ(frame_on(0), 7u);
    EXPECT_EQ(frame_on(1), 9u);
  }
};

TEST_F(CpusTlbTest, AnEntryFlushesWhereItIsMade) {
  EXPECT_EQ(frame_on(1), 8u);
  entry.flush = HOSTED_FLUSH_ALL;
  (void)enter();
  entry.flush = HOSTED_FLUSH_NONE;
  expect_flushed_on_1();
}

TEST_F(CpusTlbTest, AnotherVmsEntryFlushesWhereItIsMade) {
  processors->be_cpu(1);
  hosted_exit exit{};
  processors->run(&exit, entry, exit);
  expect_flushed_on_1();
}

TEST_F(CpusTlbTest, OneAsidIsFlushedWhereTheEntryIsMade) {
  processors->be_cpu(1);
  entry.flush = HOSTED_FLUSH_ASID;
  (void)enter();
  entry.flush = HOSTED_FLUSH_NONE;
  expect_flushed_on_1();
}

TEST_F(CpusTlbTest, AllIsInvalidatedWhereItIsExecuted) {
  processors->be_cpu(1);
  processors->invalidate_all(1);
  expect_flushed_on_1();
}

TEST_F(CpusTlbTest, APageIsInvalidatedWhereItIsExecuted) {
  processors->be_cpu(1);
  processors->invalidate(0, 1, 0x5000);
  expect_flushed_on_1();
  processors->be_cpu(2);
  processors->invalidate(0, 1, 0x5000);  // nothing ran there
  EXPECT_EQ(frame_on(0), 7u);
}

TEST_F(CpusTlbTest, OnePointerIsInvalidatedWhereItIsExecuted) {
  entry.format = HOSTED_FORMAT_EPT;
  for (Hfn gfn = 0; gfn < 64; ++gfn) map(gfn << 12, gfn, 7);
  entry.cr0 = cr0::base;  // no paging: guest physical addresses
  map(0x5000, 7, 7);
  EXPECT_EQ(frame_on(0), 7u);
  EXPECT_EQ(frame_on(1), 7u);
  map(0x5000, 9, 7);
  processors->invalidate_root(entry.root | 0x5e);
  expect_flushed_on_1();
}

TEST_F(CpusTlbTest, NothingIsLeftOfAnotherProgram) {
  restart(PagingMode::level4);
  EXPECT_EQ(frame_on(1), 9u);
  EXPECT_EQ(frame_on(0), 9u);
}

TEST_F(ProcessorTlbTest, EvictsByTheSeedOfTheProgram) {
  const auto hits = [&](std::uint64_t seed, unsigned cpu = 0) {
    processors->reset(
        {.mode = PagingMode::level4, .host_maxphyaddr = 48, .amd = true, .seed = seed}, 2);
    processors->be_cpu(cpu);
    map(0x5000, 7);
    std::string kept;
    for (unsigned i = 0; i < 4000; ++i) {
      const auto before = processors->counts().tlb_hits;
      (void)read(0x5000);
      kept += processors->counts().tlb_hits != before ? '+' : '-';
    }
    return kept;
  };
  EXPECT_EQ(hits(0).find('-', 1), std::string::npos);
  EXPECT_NE(hits(5).find('-', 1), std::string::npos);
  EXPECT_EQ(hits(5), hits(5));
  EXPECT_NE(hits(5), hits(9));
  EXPECT_EQ(hits(0, 1).find('-', 1), std::string::npos);
  EXPECT_NE(hits(5, 1), hits(5)) << "another CPU";
  EXPECT_EQ(hits(5, 1), hits(5, 1));
}

TEST_F(ProcessorKeysTest, ProtectionKeysDenyWhatPkruSays) {
  constexpr std::uint64_t key = 5;
  constexpr unsigned denies_access = 1, denies_write = 2;
  set(0x4028, 0x5000 | key << 59);
  (void)go(operation(Operation::Kind::wrpkru, 0, denies_access << 2 * key));
  EXPECT_EQ(seen().kind, Outcome::Kind::exception);
  EXPECT_EQ(seen().vector, 6u);
  (void)read(0x5000);
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  entry.cr4 |= cr4::pke;
  (void)go(operation(Operation::Kind::wrpkru, 0, denies_access << 2 * key));
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  EXPECT_EQ(entry.pkru, denies_access << 2 * key);
  (void)read(0x5000);
  EXPECT_EQ(seen().kind, Outcome::Kind::page_fault) << "cached, and judged at each use";
  EXPECT_EQ(seen().code, fault::present | fault::user | fault::protection_key);
  (void)go(operation(Operation::Kind::wrpkru, 0, denies_write << 2 * key));
  (void)read(0x5000);
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  (void)go(operation(Operation::Kind::write, 0x5000, 1));
  EXPECT_EQ(seen().kind, Outcome::Kind::page_fault);
}

}  // namespace
}  // namespace lockstep::hw::hosted
