// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/snapshot.h"

#include <gtest/gtest.h>

#include <cstring>

#include "hw/hosted/test/toy.h"

namespace lockstep::hw::hosted {
namespace {

constexpr std::uint64_t memory = 2ull << 20;

class SnapshotTest : public testing::Test {
 protected:
  void SetUp() override {
    build_toy(folder / "toy", 0x2000'0000);
    auto opened = Session::open(folder / "toy", {.program_bytes = memory, .kernel_pages = 16},
                                nullptr, 1 << 20);
    ASSERT_TRUE(opened) << opened.error().message;
    session = std::move(*opened);
    ASSERT_TRUE(session->arena().reset(memory, /*huge=*/true));
  }
  std::optional<long> ioctl(unsigned command, unsigned long argument = 0) {
    return session->host().enter(
        [&] { return session->image().boundary().ioctl(0, command, argument); });
  }
  std::uint64_t loaded(Hva hva) {
    std::uint64_t value = 0;
    EXPECT_TRUE(session->arena().load(hva, value, 8));
    return value;
  }
  TemporaryFolder folder;
  std::unique_ptr<Session> session;
};

TEST_F(SnapshotTest, PutsBackWhatTheImageAndItsUserWrote) {
  Arena& arena = session->arena();
  const Hfn first = arena.boundary().first_free;
  (void)ioctl(6);
  ASSERT_TRUE(arena.store(0x1000, 0x5a, 8));
  std::memset(arena.frame(first + 3), 0x11, page_size);
  std::memset(arena.frame(first + 4), 0x22, page_size);
  Snapshot snapshot(*session);
  EXPECT_GT(snapshot.bytes(), page_size);

  const auto next = ioctl(6);
  const std::uint64_t used = session->pool()->used();
  for (unsigned round = 0; round < 3; ++round) {
    // Variables of the image, an object, a page of the kernel's, and of the user's.
    EXPECT_EQ(ioctl(8, 64), 1);
    EXPECT_GT(session->pool()->used(), used);
    std::memset(arena.frame(first + 3), 0x33, page_size);
    ASSERT_TRUE(arena.store(0x1000, 0xff, 8));
    ASSERT_TRUE(arena.store(0x2000, 0xff, 8));
    const Hfn frame = 1;
    hosted_host_page page{};
    ASSERT_TRUE(arena.migrate(frame, 1));
    arena.look_up(arena.hva_base() + page_size, page);
    EXPECT_NE(page.frame, frame);

    ASSERT_TRUE(snapshot.restore());
    EXPECT_EQ(session->pool()->used(), used);
    EXPECT_EQ(*arena.frame(first + 3), std::byte{0x11});
    arena.look_up(arena.hva_base() + page_size, page);
    EXPECT_EQ(page.frame, frame);
    EXPECT_EQ(loaded(0x1000), 0x5au);
    EXPECT_EQ(ioctl(6), next);
  }
  // A page that the kernel's allocator had not handed out is nobody's to keep.
  std::memset(arena.frame(first + 4), 0x44, page_size);
  ASSERT_TRUE(snapshot.restore());
  EXPECT_EQ(*arena.frame(first + 4), std::byte{0x44});
}

/// A run that ended in the middle of a call leaves an image that can be used again.
TEST_F(SnapshotTest, AnImageThatWasLeftGoesOn) {
  Snapshot snapshot(*session);
  const auto before = ioctl(6);
  ASSERT_TRUE(snapshot.restore());
  EXPECT_EQ(ioctl(2), std::nullopt);
  EXPECT_TRUE(session->host().tainted());
  (void)session->findings();
  ASSERT_TRUE(snapshot.restore());
  EXPECT_FALSE(session->host().tainted());
  EXPECT_EQ(ioctl(6), before);
}

/// WARN_ONCE() of one program hides nothing from the next.
TEST_F(SnapshotTest, WarningsGivenOnceAreGivenToEachProgram) {
  EXPECT_EQ(ioctl(27), 7);
  EXPECT_NE(session->findings(), "");
  EXPECT_EQ(ioctl(27), 0);
  EXPECT_EQ(session->findings(), "");
  session->forget_warnings();
  EXPECT_EQ(ioctl(27), 7);
  EXPECT_NE(session->findings(), "");
}

TEST_F(SnapshotTest, AfterTheLastTimeAResetMendsEverything) {
  Snapshot snapshot(*session);
  ASSERT_TRUE(session->arena().store(0x3000, 0xff, 8));
  ASSERT_TRUE(snapshot.release());
  ASSERT_TRUE(session->arena().reset(memory, /*huge=*/true));
  EXPECT_EQ(session->arena().first_stale(memory), std::nullopt);
}

}  // namespace
}  // namespace lockstep::hw::hosted
