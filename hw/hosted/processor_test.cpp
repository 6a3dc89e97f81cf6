// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstring>

#include "hw/hosted/processor_fixture.h"

namespace lockstep::hw::hosted {
namespace {

TEST_F(ProcessorTest, LoadsStoresAndFetches) {
  map(0x5000, 7);
  EXPECT_EQ(read(0x5000).reason, unsigned{HOSTED_EXIT_LEAVE});
  EXPECT_EQ(seen().value, code_cell(7));
  (void)go(operation(Operation::Kind::fetch, 0x5000));
  EXPECT_EQ(seen().value, 7u);
  (void)go(operation(Operation::Kind::write, 0x5008, 42));
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  std::uint64_t stored = 0;
  EXPECT_TRUE(arena->load(0x7008, stored, 8));
  EXPECT_EQ(stored, 42u);
  EXPECT_EQ(arena->first_stale(memory), 7u);
  ASSERT_TRUE(arena->reset(memory, true));  // the store was tracked
  EXPECT_EQ(arena->first_stale(memory), std::nullopt);
  EXPECT_EQ(entry.cpl, 3u);
  EXPECT_EQ(entry.rip, rip);
}

TEST_F(ProcessorTest, ShadowFaultExitsWithTheInstruction) {
  map(0x5000, 7, entry::present | entry::user);
  const hosted_exit exit = go(operation(Operation::Kind::write, 0x5008, 42));
  EXPECT_EQ(exit.reason, unsigned{HOSTED_EXIT_PAGE_FAULT});
  EXPECT_EQ(exit.code, fault::present | fault::write | fault::user);
  EXPECT_EQ(exit.address, 0x5008u);
  EXPECT_EQ(exit.instruction_length, 3u);
  EXPECT_EQ(exit.instruction[1], 0x8b);
  EXPECT_EQ(entry.gpr[7], 0x5008u);
  EXPECT_EQ(entry.gpr[rax], 42u);
  EXPECT_EQ(seen().kind, Outcome::Kind::running);
  map(0x5000, 7);
  EXPECT_EQ(enter().reason, unsigned{HOSTED_EXIT_LEAVE});
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
}

TEST_F(ProcessorTest, AdvancedRipMeansEmulated) {
  (void)read(0x5000);
  entry.rip += 3;
  entry.gpr[rax] = 99;
  (void)enter();
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  EXPECT_EQ(seen().value, 99u);
}

TEST_F(ProcessorTest, InjectedEventsEndTheOperation) {
  (void)read(0x5000);
  entry.event_valid = entry.event_has_code = 1;
  entry.event_vector = 14;
  entry.event_code = 5;
  entry.cr2 = 0x5000;
  EXPECT_EQ(enter().reason, unsigned{HOSTED_EXIT_LEAVE});
  EXPECT_EQ(seen().kind, Outcome::Kind::page_fault);
  EXPECT_EQ(seen().code, 5u);
  entry.event_valid = 0;
  (void)read(0x5000);
  entry.event_valid = 1;
  entry.event_vector = 13;
  (void)enter();
  EXPECT_EQ(seen().kind, Outcome::Kind::exception);
  EXPECT_EQ(seen().vector, 13u);
}

TEST_F(ProcessorTest, TranslationsStayUntilFlushed) {
  map(0x5000, 7);
  (void)read(0x5000);
  map(0x5000, 8);
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(7));
  entry.root = 0x123'4000;  // AMD tags by ASID only
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(7));
  entry.root = first_table << page_shift;
  processors->invalidate(1, 1, 0x5000);  // another vCPU
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(7));
  processors->invalidate(0, 1, 0x5fff);
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(8));
  map(0x5000, 9);
  entry.flush = HOSTED_FLUSH_ASID;
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(9));
  entry.flush = HOSTED_FLUSH_NONE;
  map(0x5000, 10);
  entry.asid = 2;
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(10));
  entry.asid = 1;  // what it has cached is still there
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(9));
  entry.flush = HOSTED_FLUSH_ASID;
  (void)read(0x5000);
  entry.flush = HOSTED_FLUSH_NONE;
  map(0x5000, 11);
  entry.asid = 2;
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(10));  // one ASID was flushed, not this one
  processors->invalidate_all(0);
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(11));
}

TEST_F(ProcessorTest, FlushOfEverythingReachesOtherVcpus) {
  map(0x5000, 7);
  (void)read(0x5000);
  map(0x5000, 8);
  entry.vcpu = 1;
  entry.flush = HOSTED_FLUSH_ALL;
  (void)enter();
  entry.vcpu = 0;
  entry.flush = HOSTED_FLUSH_NONE;
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(8));
}

TEST_F(ProcessorTest, FreedTablesAndForeignFramesShow) {
  map(0x5000, 7);
  table(2)[0] = 3 << 12 | pwu;  // a user page is no table
  (void)read(0x5000);
  EXPECT_EQ(seen().kind, Outcome::Kind::broken);
  EXPECT_EQ(seen().address, 3u);
  map(0x5000, first_table + 9);
  (void)read(0x5000);
  EXPECT_EQ(seen().kind, Outcome::Kind::foreign);
  map(0x5000, 7);
  processors->invalidate_all(0);
  static Hfn dead;
  dead = first_table + 3;
  processors->memory().set_liveness([](hosted_u64 frame) { return frame == dead ? 0 : 1; });
  (void)read(0x5000);
  EXPECT_EQ(seen().kind, Outcome::Kind::broken);
  EXPECT_EQ(seen().address, dead);
}

TEST_F(ProcessorTest, EndlessFaultsAreALivelock) {
  (void)read(0x5000);
  for (unsigned i = 0; i < livelock_bound && seen().kind == Outcome::Kind::running; ++i) {
    (void)enter();
  }
  EXPECT_EQ(seen().kind, Outcome::Kind::livelock);
}

TEST_F(ProcessorTest, PaeShadowRootsHaveThreeLevels) {
  restart(PagingMode::bits32);
  map(0x5000, 7);
  entry.root = (first_table + 1) << page_shift;  // four PDPTEs
  table(1)[0] = (first_table + 2) << 12 | entry::present;
  entry.root_level = 3;
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(7));
  EXPECT_EQ(table(1)[0] & entry::accessed, 0u);
  (void)read(0x1'0000'5000);
  EXPECT_EQ(seen().kind, Outcome::Kind::exception);
}

TEST_F(NestedProcessorTest, WalksTheGuestsTables) {
  EXPECT_EQ(read(0x5000).reason, unsigned{HOSTED_EXIT_LEAVE});
  EXPECT_EQ(seen().value, code_cell(5));
}

TEST_F(NestedProcessorTest, GuestFaultsNeedNoExit) {
  EXPECT_EQ(read(0x6000).reason, unsigned{HOSTED_EXIT_LEAVE});
  EXPECT_EQ(seen().kind, Outcome::Kind::page_fault);
  EXPECT_EQ(seen().code, fault::user);
  EXPECT_EQ(entry.cr2, 0x6000u);
}

TEST_F(NestedProcessorTest, NestedFaultsSayWhy) {
  map(0x5000, 5, entry::present | entry::user);
  hosted_exit exit = go(operation(Operation::Kind::write, 0x5008, 1));
  EXPECT_EQ(exit.reason, unsigned{HOSTED_EXIT_NESTED_FAULT});
  EXPECT_EQ(exit.address, 0x5008u);
  EXPECT_EQ(exit.code & 0xff, HOSTED_NESTED_PRESENT | HOSTED_NESTED_WRITE);
  map(0x5000, 5, 0);
  exit = go(operation(Operation::Kind::fetch, 0x5000));
  EXPECT_EQ(exit.code & 0xff, HOSTED_NESTED_FETCH);
  map(0x5000, 5, pwu | 1ull << 51);
  exit = read(0x5000);
  EXPECT_EQ(exit.code & 0xff, HOSTED_NESTED_PRESENT | HOSTED_NESTED_RESERVED);
  map(0x3000, 3, 0);
  exit = read(0x5000);
  // Walks of guest tables count as writes under NPT.
  EXPECT_EQ(exit.code & 0xff, HOSTED_NESTED_TABLE | HOSTED_NESTED_WRITE);
  EXPECT_EQ(exit.address, 0x3000u);
}

TEST_F(NestedProcessorTest, LogsWhatBecomesDirtyUntilTheLogIsFull) {
  constexpr unsigned log = 10;
  entry.format = HOSTED_FORMAT_EPT;
  entry.ept_accessed_dirty = 1;
  entry.log = 1;
  entry.log_page = (first_table + log) << page_shift;
  entry.log_index = 511;
  // Of the guest's four tables the processor marks entries, and so writes each.
  (void)go(operation(Operation::Kind::write, 0x5008, 1));
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  EXPECT_EQ(entry.log_index, 506u);
  EXPECT_EQ(table(log)[511], 0x1000u);
  EXPECT_EQ(table(log)[507], 0x5000u);
  // What is cached from a read carries no dirty flag: a write walks, and logs.
  table(3)[5] &= ~0x200ull;
  restart(PagingMode::level4);
  (void)read(0x5008);
  EXPECT_EQ(entry.log_index, 506u);
  (void)go(operation(Operation::Kind::write, 0x5008, 2));
  EXPECT_EQ(entry.log_index, 505u);
  table(3)[5] &= ~0x200ull;
  restart(PagingMode::level4);
  entry.log_index = 0xffff;
  hosted_exit exit = go(operation(Operation::Kind::write, 0x5008, 3));
  EXPECT_EQ(exit.reason, unsigned{HOSTED_EXIT_LOG_FULL});
  entry.log_index = 511;
  exit = enter();
  EXPECT_EQ(exit.reason, unsigned{HOSTED_EXIT_LEAVE});
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  EXPECT_EQ(table(log)[511], 0x5000u);
  EXPECT_EQ(processors->counts().logged, 7u);
  EXPECT_EQ(processors->counts().full_logs, 1u);
}

/// SDM "Information That May Be Cached": what was walked from one EPT pointer's tables stays
/// while another one is in use, and INVEPT of one context drops no other's.
TEST_F(NestedProcessorTest, TranslationsBelongToTheirEptPointer) {
  entry.format = HOSTED_FORMAT_EPT;
  const std::uint64_t first = entry.root;
  const std::uint64_t second = (first_table + 20) << page_shift;
  std::copy_n(table(0), 512, table(20));
  (void)read(0x5000);
  map(0x5000, 6);
  entry.root = second;
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(6));
  entry.root = first;
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(5));
  processors->invalidate_root(second | 0x5e);
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(5));
  processors->invalidate_root(first | 0x5e);
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(6));
  EXPECT_EQ(processors->counts().root_invalidations, 2u);
}

TEST_F(NestedProcessorTest, MovCr3WithoutExit) {
  (void)read(0x5000);
  set(0x4028, 0x6000);
  Operation load = operation(Operation::Kind::mov_cr, 0, 0x1000);
  load.number = 3;
  EXPECT_EQ(go(load).reason, unsigned{HOSTED_EXIT_LEAVE});
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(6));
  load.value = 1ull << 63 | 0x1000;  // without CR4.PCIDE
  (void)go(load);
  EXPECT_EQ(seen().vector, 13u);
  load.value = 1ull << 50;
  (void)go(load);
  EXPECT_EQ(seen().vector, 13u);
  EXPECT_EQ(entry.cr3, 0x1000u);
}

TEST_F(NestedProcessorTest, NoflushKeepsThePcidsTranslations) {
  entry.cr4 |= cr4::pcide;
  (void)read(0x5000);
  set(0x4028, 0x6000);
  Operation load = operation(Operation::Kind::mov_cr, 0, 1ull << 63 | 0x1000);
  load.number = 3;
  (void)go(load);
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(5));
  load.value = 0x1001;  // another PCID
  (void)go(load);
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(6));
}

TEST_F(NestedProcessorTest, InterceptedInstructionsExit) {
  entry.intercept_cr3_write = entry.intercept_invlpg = entry.intercept_invpcid = 1;
  Operation made = operation(Operation::Kind::mov_cr, 0, 0x2000);
  made.number = 3;
  hosted_exit exit = go(made);
  EXPECT_EQ(exit.reason, unsigned{HOSTED_EXIT_WRITE_CR});
  EXPECT_EQ(exit.number, 3u);
  EXPECT_EQ(exit.value, 0x2000u);
  EXPECT_EQ(go(operation(Operation::Kind::invlpg, 0x5000)).reason, unsigned{HOSTED_EXIT_INVLPG});
  made = operation(Operation::Kind::invpcid, 0x5000, 3);
  made.number = 1;
  made.descriptor = 0x7000;
  exit = go(made);
  EXPECT_EQ(exit.reason, unsigned{HOSTED_EXIT_INVPCID});
  EXPECT_EQ(exit.value, 1u);
  EXPECT_EQ(exit.address, 0x7000u);
  made = operation(Operation::Kind::wrmsr, 0, 0x1'0000'0d01);
  made.number = efer::msr;
  exit = go(made);
  EXPECT_EQ(exit.reason, unsigned{HOSTED_EXIT_WRITE_MSR});
  EXPECT_EQ(exit.value, 0x1'0000'0d01u);
  EXPECT_EQ(entry.gpr[1], efer::msr);
  EXPECT_EQ(entry.gpr[2], 1u);
}

/// SDM "Accessed and Dirty Flags for EPT": walks write guest tables, loads of the PDPTE
/// registers read them, and have no linear address.
TEST_F(NestedProcessorTest, LoadsOfPdpteRegistersAreReads) {
  constexpr unsigned log = 10;
  restart(PagingMode::pae);
  entry.format = HOSTED_FORMAT_EPT;
  entry.ept_accessed_dirty = 1;
  entry.log = 1;
  entry.log_page = (first_table + log) << page_shift;
  entry.log_index = 511;
  entry.efer = efer::nx;
  ASSERT_TRUE(arena->store(0x1000, 0x3000 | entry::present, 8));
  constexpr std::uint64_t readable = 1, dirty = 1u << 9;
  map(0x1000, 1, readable);
  Operation load = operation(Operation::Kind::mov_cr, 0, 0x1000);
  load.number = 3;
  EXPECT_EQ(go(load).reason, unsigned{HOSTED_EXIT_LEAVE});
  EXPECT_EQ(seen().kind, Outcome::Kind::done);
  EXPECT_EQ(entry.pdpte[0], 0x3000u | entry::present);
  EXPECT_EQ(entry.log_index, 511u);
  EXPECT_EQ(table(3)[1] & dirty, 0u);
  map(0x1000, 1, 0);
  const hosted_exit exit = go(load);
  EXPECT_EQ(exit.reason, unsigned{HOSTED_EXIT_NESTED_FAULT});
  EXPECT_EQ(exit.code & 0xff, HOSTED_NESTED_TABLE | HOSTED_NESTED_REGISTER);
}

TEST_F(NestedProcessorTest, PaeLoadsPdptesOnceAndChecksThem) {
  restart(PagingMode::pae);
  entry.efer = efer::nx;
  entry.cr3 = 0x1000;
  ASSERT_TRUE(arena->store(0x1000, 0x3000 | entry::present, 8));
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(5));
  ASSERT_TRUE(arena->store(0x1000, 0, 8));
  processors->invalidate_all(0);
  (void)read(0x5000);
  EXPECT_EQ(seen().value, code_cell(5));  // registers, not memory
  Operation load = operation(Operation::Kind::mov_cr, 0, 0x1000);
  load.number = 3;
  (void)go(load);
  (void)read(0x5000);
  EXPECT_EQ(seen().kind, Outcome::Kind::page_fault);
  ASSERT_TRUE(arena->store(0x1000, 0x3000 | entry::present | entry::user, 8));
  (void)go(load);
  EXPECT_EQ(seen().vector, 13u);
}

TEST_F(NestedProcessorTest, LeavesMm0ForTheEmulator) {
  map(0x5000, 5, 0);
  Operation store = operation(Operation::Kind::write, 0x5000, 0x1122'3344'5566'7788);
  store.mmx = true;
  (void)go(store);
  std::uint64_t mm0 = 0;
  asm volatile("movq %%mm0, %0" : "=m"(mm0));
  processors->after_run();
  EXPECT_EQ(mm0, store.value);
}

TEST_F(NestedProcessorTest, LeavesMm0ForTheEmulatorOfEachCpu) {
  map(0x5000, 5, 0);
  const auto mm0_on = [&](unsigned cpu) {
    processors->be_cpu(cpu);
    std::uint64_t value = 0;
    asm volatile("movq %%mm0, %0" : "=m"(value));
    return value;
  };
  Operation store = operation(Operation::Kind::write, 0x5000, 0x1111);
  store.mmx = true;
  (void)go(store);
  processors->be_cpu(1);
  store.value = 0x2222;
  processors->start(1, store);
  entry.vcpu = 1;
  (void)enter();
  const std::uint64_t first = mm0_on(0);
  processors->after_run();
  const std::uint64_t second = mm0_on(1);
  processors->after_run();
  EXPECT_EQ(first, 0x1111u);
  EXPECT_EQ(second, 0x2222u);
}

}  // namespace
}  // namespace lockstep::hw::hosted
