// SPDX-License-Identifier: GPL-2.0-or-later
// What the host does behind the guest's pages, on a real KVM.
#include "hw/kvm/memory.h"
#include "hw/kvm/test_program.h"

namespace lockstep::hw {
namespace {

constexpr Gva window = 0x40'0000;
constexpr Gpa page = 0x20'0000;
const Observation done = Done{};

class HostChangesTest : public KvmTest {
 protected:
  void prepare(DirtyLogMode mode = DirtyLogMode::plain) {
    Configuration with = configuration();
    with.dirty_log = mode;
    begin_with_memory(with);
    map(window, page, rwu);
    map(window + page_size, page + page_size, rwu);
    EXPECT_EQ(read(window), Observation(Value{cell_at(page)}));
    EXPECT_EQ(write(window, 0x1234), done);
  }
  Observation change(HostAction action, Hva hva = page, std::uint64_t size = page_size) {
    return run(HostChange{action, hva, size});
  }
};

std::vector<ProgramMemory> memories() {
  std::vector<ProgramMemory> one;
  if (auto pattern = PatternFile::create()) {
    auto memory =
        ProgramMemory::map(std::make_shared<PatternFile>(std::move(*pattern)), 8ull << 20);
    if (memory) one.push_back(std::move(*memory));
  }
  return one;
}

std::uint64_t cell_of(const ProgramMemory& memory, Hva hva) {
  std::uint64_t value = 0;
  EXPECT_TRUE(memory.load(hva, value, 8));
  return value;
}

TEST(ProgramMemoryOfTheHost, ContentsOutliveEveryChangeButDiscard) {
  auto memories = hw::memories();
  ASSERT_EQ(memories.size(), 1u);
  ProgramMemory& memory = memories.front();
  ASSERT_TRUE(memory.store(0x40'0000, 7, 8));
  for (const HostAction action :
       {HostAction::migrate, HostAction::protect, HostAction::split, HostAction::unprotect,
        HostAction::collapse, HostAction::migrate, HostAction::split}) {
    ASSERT_TRUE(memory.change(action, 0x40'0000, 0x20'0000));
    EXPECT_EQ(cell_of(memory, 0x40'0000), 7u);
    EXPECT_EQ(cell_of(memory, 0x40'1000), cell_at(0x40'1000));
  }
  ASSERT_TRUE(memory.change(HostAction::discard, 0x40'0000, 0x1000));
  EXPECT_EQ(cell_of(memory, 0x40'0000), cell_at(0x40'0000));
  EXPECT_FALSE(memory.change(HostAction::age, 0, 0x1000));
  EXPECT_FALSE(memory.change(HostAction::migrate, 8ull << 20, 0x1000));
}

TEST(ProgramMemoryOfTheHost, ProtectionOutlivesEveryOtherChange) {
  auto memories = hw::memories();
  ASSERT_EQ(memories.size(), 1u);
  ProgramMemory& memory = memories.front();
  ASSERT_TRUE(memory.change(HostAction::protect, 0x40'1000, 0x1000));
  for (const HostAction action :
       {HostAction::migrate, HostAction::split, HostAction::collapse, HostAction::discard}) {
    ASSERT_TRUE(memory.change(action, 0x40'0000, 0x20'0000));
    EXPECT_FALSE(memory.store(0x40'1000, 7, 8));
    EXPECT_TRUE(memory.store(0x40'2000, 7, 8));
  }
  ASSERT_TRUE(memory.store_anyway(0x40'1000, 9, 8));
  EXPECT_EQ(cell_of(memory, 0x40'1000), 9u);
  EXPECT_FALSE(memory.store(0x40'1000, 7, 8));
  ASSERT_TRUE(memory.reset());
  EXPECT_TRUE(memory.store(0x40'1000, 7, 8));
  EXPECT_EQ(cell_of(memory, 0x40'2000), cell_at(0x40'2000));
}

TEST_F(HostChangesTest, TheGuestFollowsMigration) {
  prepare();
  EXPECT_EQ(change(HostAction::migrate), done);
  EXPECT_EQ(read(window), Observation(Value{0x1234}));
  EXPECT_EQ(write(window, 0x5678), done);
  EXPECT_EQ(peek(page), Observation(Value{0x5678}));
  // Tables too, and the page that the harness enters through.
  EXPECT_EQ(change(HostAction::migrate, 0, 0x20'0000), done);
  EXPECT_EQ(read(window), Observation(Value{0x5678}));
  EXPECT_EQ(count("host migrate"), 2u);
}

TEST_F(HostChangesTest, WriteProtectionFailsTheRun) {
  prepare();
  EXPECT_EQ(change(HostAction::protect), done);
  EXPECT_EQ(read(window), Observation(Value{0x1234}));
  EXPECT_EQ(write(window, 1), Observation(Errno{EFAULT}));
  EXPECT_EQ(write(window + page_size, 1), done);
  EXPECT_EQ(run(Poke{.gpa = page, .value = 1}), Observation(Errno{EFAULT}));
  EXPECT_EQ(read(window), Observation(Value{0x1234}));
  EXPECT_EQ(change(HostAction::unprotect), done);
  EXPECT_EQ(write(window, 2), done);
  EXPECT_EQ(peek(page), Observation(Value{2}));
  end();
  prepare();
}

TEST_F(HostChangesTest, DiscardedPagesAreFresh) {
  prepare();
  EXPECT_EQ(change(HostAction::discard), done);
  EXPECT_EQ(read(window), Observation(Value{cell_at(page)}));
  EXPECT_EQ(fetch(window), Observation(Value{page >> page_shift}));
}

TEST_F(HostChangesTest, HugePagesComeAndGo) {
  if (!has(Feature::host_collapse)) GTEST_SKIP() << "no MADV_COLLAPSE";
  prepare();
  EXPECT_EQ(change(HostAction::collapse, page, 0x20'0000), done);
  EXPECT_EQ(read(window), Observation(Value{0x1234}));
  EXPECT_EQ(write(window, 0x99), done);
  EXPECT_EQ(change(HostAction::split, page, 0x20'0000), done);
  EXPECT_EQ(read(window), Observation(Value{0x99}));
  EXPECT_EQ(read(window + page_size), Observation(Value{cell_at(page + page_size)}));
  EXPECT_EQ(change(HostAction::discard), done);
  EXPECT_EQ(read(window), Observation(Value{cell_at(page)}));
}

TEST_F(HostChangesTest, FewShadowPagesAreEnough) {
  if (!has(Feature::mmu_pages)) GTEST_SKIP() << "no KVM_CAP_MMU_SHADOW_CACHE_CONTROL";
  prepare();
  EXPECT_EQ(run(MmuPages{63}), Observation(Errno{EINVAL}));
  EXPECT_EQ(run(MmuPages{64}), done);
  EXPECT_EQ(read(window), Observation(Value{0x1234}));
}

TEST_F(HostChangesTest, RingsNameWrittenPagesOnce) {
  if (!has(Feature::dirty_ring)) GTEST_SKIP() << "no KVM_CAP_DIRTY_LOG_RING";
  prepare(DirtyLogMode::ring);
  EXPECT_EQ(run(RingCollect{}), Observation(DirtyPages{}));
  const SlotAdd logged{
      .id = 1, .gpa = 0x4000'0000, .size = 64 * page_size, .hva = page, .log = true};
  ASSERT_EQ(run(logged), done);
  EXPECT_EQ(run(DirtyGet{1}), Observation(Errno{ENXIO}));
  EXPECT_EQ(run(DirtyClear{1, 0, 64}), Observation(Errno{ENXIO}));
  map(window + 2 * page_size, 0x4000'5000, rwu | entry::accessed | entry::dirty);
  EXPECT_EQ(write(window + 2 * page_size, 1), done);
  EXPECT_EQ(write(window + 2 * page_size, 2), done);
  const Observation page5 = DirtyPages{{{1, {1u << 5}}}};
  EXPECT_EQ(run(RingCollect{}), page5);
  EXPECT_EQ(run(RingCollect{}), Observation(DirtyPages{}));
  EXPECT_EQ(write(window + 2 * page_size, 3), done);
  EXPECT_EQ(run(RingCollect{}), page5);
  // What a ring holds outlives its slot.
  EXPECT_EQ(write(window + 2 * page_size, 4), done);
  ASSERT_EQ(run(SlotDelete{1}), done);
  EXPECT_EQ(run(RingCollect{}), page5);
  // The next program starts with empty rings.
  ASSERT_EQ(run(logged), done);
  EXPECT_EQ(write(window + 2 * page_size, 5), done);
  end();
  prepare(DirtyLogMode::ring);
  EXPECT_EQ(run(RingCollect{}), Observation(DirtyPages{}));
}

}  // namespace
}  // namespace lockstep::hw
