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

TEST_F(ProcessorTlbTest, EvictsByTheSeedOfTheProgram) {
  const auto hits = [&](std::uint64_t seed) {
    processors->reset(
        {.mode = PagingMode::level4, .host_maxphyaddr = 48, .amd = true, .seed = seed}, 2);
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
