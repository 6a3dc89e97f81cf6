// SPDX-License-Identifier: GPL-2.0-or-later
// Memory slots and dirty logging, as user space drives them.
#include "hw/kvm/test_program.h"

namespace lockstep::hw {
namespace {

constexpr Gva window = 0x40'0000;
constexpr Gpa logged = 0x4000'0000;
constexpr std::uint64_t pages = 100;
const Observation done = Done{};

class SlotsTest : public KvmTest {
 protected:
  /// Slot 1 at `logged`, its pages mapped from `window` on.
  void prepare(DirtyLogMode mode, bool log) {
    Configuration with = configuration();
    with.dirty_log = mode;
    begin_with_memory(with);
    SlotAdd slot;
    slot.id = 1;
    slot.gpa = logged;
    slot.size = pages * page_size;
    slot.hva = 0x80'0000;
    slot.log = log;
    ASSERT_EQ(run(slot), done);
    for (unsigned i = 0; i < pages; ++i) map(window + i * page_size, logged + i * page_size, rwu);
  }
  Observation bitmap(std::uint64_t low, std::uint64_t high = 0) {
    return DirtyBitmap{pages, {low, high}};
  }
};

TEST_F(SlotsTest, IllegalSlotsKeepTheirErrno) {
  begin_with_memory(configuration());
  EXPECT_EQ(run(SlotAdd{.id = 1, .gpa = 0x4000'0000, .size = 100}), Observation(Errno{EINVAL}));
  EXPECT_EQ(run(SlotAdd{.id = 1, .gpa = 0x4000'0001, .size = page_size}),
            Observation(Errno{EINVAL}));
  EXPECT_EQ(run(SlotAdd{.id = 1, .gpa = 0x1000, .size = page_size}), Observation(Errno{EEXIST}));
  EXPECT_EQ(run(SlotDelete{.id = 9}), Observation(Errno{EINVAL}));
  EXPECT_EQ(run(SlotAdd{.id = 0x7fff'ffff, .gpa = 0x4000'0000, .size = page_size}),
            Observation(Errno{EINVAL}));
  EXPECT_EQ(run(SlotAdd{.id = 1, .gpa = 0x4000'0000, .size = 1ull << 63}),
            Observation(Errno{EINVAL}));
  EXPECT_EQ(count("slot errno"), 6u);
  EXPECT_EQ(count("slot ok"), 1u);
}

TEST_F(SlotsTest, TheHarnessSlotIsOutOfReach) {
  begin(configuration());
  EXPECT_FALSE(engine_->execute(SlotDelete{.id = harness::first_slot}));
}

TEST_F(SlotsTest, DeleteAndMoveTakeEffect) {
  prepare(DirtyLogMode::plain, /*log=*/false);
  EXPECT_EQ(read(window), Observation(Value{code_cell(0x800)}));
  ASSERT_EQ(run(SlotMove{.id = 1, .gpa = logged + page_size}), done);
  EXPECT_EQ(read(window), Observation(Mmio{false, logged, 8, 0}));
  EXPECT_EQ(read(window + page_size), Observation(Value{code_cell(0x800)}));
  ASSERT_EQ(run(SlotDelete{.id = 1}), done);
  EXPECT_EQ(read(window + page_size), Observation(Mmio{false, logged + page_size, 8, 0}));
}

TEST_F(SlotsTest, UserSpaceWithoutASlotFaults) {
  begin(configuration());
  EXPECT_EQ(peek(0x1000), Observation(Errno{EFAULT}));
  EXPECT_EQ(run(Poke{.gpa = 0x1000}), Observation(Errno{EFAULT}));
}

TEST_F(SlotsTest, PlainLogIsClearedByGet) {
  prepare(DirtyLogMode::plain, /*log=*/true);
  ASSERT_EQ(run(DirtyGet{.id = 1}), bitmap(0));
  EXPECT_EQ(write(window + 3 * page_size, 1), done);
  EXPECT_EQ(write(window + 70 * page_size, 1), done);
  EXPECT_EQ(run(DirtyGet{.id = 1}), bitmap(1 << 3, 1 << 6));
  EXPECT_EQ(run(DirtyGet{.id = 1}), bitmap(0));
  EXPECT_EQ(write(window + 3 * page_size, 2), done);
  EXPECT_EQ(run(DirtyGet{.id = 1}), bitmap(1 << 3));
}

TEST_F(SlotsTest, ManualLogIsClearedByClear) {
  if (!has(Feature::dirty_log_manual)) GTEST_SKIP() << "no manual dirty-log protect";
  prepare(DirtyLogMode::manual, /*log=*/true);
  ASSERT_EQ(run(DirtyGet{.id = 1}), bitmap(0));
  EXPECT_EQ(write(window + 3 * page_size, 1), done);
  EXPECT_EQ(run(DirtyGet{.id = 1}), bitmap(1 << 3));
  EXPECT_EQ(run(DirtyGet{.id = 1}), bitmap(1 << 3));
  EXPECT_EQ(run(DirtyClear{.id = 1, .first = 0, .count = 64}), done);
  EXPECT_EQ(run(DirtyGet{.id = 1}), bitmap(0));
  EXPECT_EQ(write(window + 3 * page_size, 2), done);
  EXPECT_EQ(run(DirtyGet{.id = 1}), bitmap(1 << 3));
  EXPECT_EQ(run(DirtyClear{.id = 1, .first = 1, .count = 64}), Observation(Errno{EINVAL}));
  EXPECT_EQ(run(DirtyClear{.id = 1, .first = 64, .count = 0xffff'ffff}),
            Observation(Errno{EINVAL}));
  EXPECT_EQ(run(DirtyClear{.id = 1, .first = 64, .count = pages - 64}), done);
}

TEST_F(SlotsTest, AllSetLogStartsFull) {
  if (!has(Feature::dirty_log_all_set)) GTEST_SKIP() << "no initially-all-set dirty log";
  prepare(DirtyLogMode::manual_all_set, /*log=*/true);
  const Observation seen = run(DirtyGet{.id = 1});
  const auto* full = std::get_if<DirtyBitmap>(&seen);
  ASSERT_NE(full, nullptr);
  EXPECT_EQ(full->words[0], ~0ull);
  EXPECT_EQ(full->words[1] & 0xf'ffff'ffff, 0xf'ffff'ffff);
}

TEST_F(SlotsTest, GetWithoutALogFails) {
  prepare(DirtyLogMode::plain, /*log=*/false);
  EXPECT_EQ(run(DirtyGet{.id = 1}), Observation(Errno{ENOENT}));
  EXPECT_EQ(run(DirtyGet{.id = 7}), Observation(Errno{ENOENT}));
  EXPECT_EQ(run(SlotFlags{.id = 1, .log = true}), done);
  EXPECT_EQ(run(DirtyGet{.id = 1}), bitmap(0));
}

}  // namespace
}  // namespace lockstep::hw
