// SPDX-License-Identifier: GPL-2.0-or-later
/// What schedules call things, which must not depend on what ran before.
#include <gtest/gtest.h>

#include "hw/hosted/cpus.h"
#include "hw/hosted/quiet_listener.h"
#include "hw/hosted/test/toy.h"

namespace lockstep::hw::hosted {
namespace {

using lockstep::schedule::Access;
using Name = lockstep::schedule::Tag;

/// Keeps what it was told last.
class Last final : public QuietListener {
 public:
  void atomic(const Name& object, Access, std::memory_order) override { access = &object; }
  void prepare_wait(const Name& object) override { event = &object; }
  const Name* access = nullptr;
  const Name* event = nullptr;
};

class CpusNames : public testing::Test {
 protected:
  void SetUp() override {
    build_toy(folder_ / "toy", 0x2000'0000);
    auto opened = Session::open(folder_ / "toy", {.program_bytes = 2ull << 20, .kernel_pages = 16},
                                nullptr, 1 << 20);
    ASSERT_TRUE(opened) << opened.error().message;
    session_ = std::move(*opened);
    cpus_.emplace(*session_);
    ASSERT_TRUE(cpus_->create(Cpus::state(session_->image())));
    cpus_->begin(last_);
    cpus_->enter(1);
  }
  void toy(unsigned command, unsigned long argument = 0) {
    (void)session_->host().enter(
        [&] { return session_->image().boundary().ioctl(0, command, argument); });
  }
  void read_the_word() {
    toy(24, 1);
    toy(23);
  }
  void wait_for_the_word() { toy(40); }

  TemporaryFolder folder_;
  std::unique_ptr<Session> session_;
  std::optional<Cpus> cpus_;
  Last last_;
};

TEST_F(CpusNames, AnEventIsNotTheWordAtItsAddress) {
  read_the_word();
  ASSERT_NE(last_.access, nullptr);
  const Name* const word = last_.access;
  const std::string name = word->name;
  wait_for_the_word();
  ASSERT_NE(last_.event, nullptr);
  EXPECT_NE(last_.event, word);
  EXPECT_STREQ(last_.event->name, "task");
  EXPECT_EQ(word->name, name);
  read_the_word();
  EXPECT_EQ(last_.access, word);
}

TEST_F(CpusNames, AreThoseOfAFreshProcessWhateverRanBefore) {
  wait_for_the_word();
  read_the_word();
  const std::string name = last_.access->name;
  EXPECT_NE(name, "task");
  cpus_->begin(last_);
  read_the_word();
  wait_for_the_word();
  EXPECT_EQ(last_.access->name, name);
  EXPECT_STREQ(last_.event->name, "task");
}

}  // namespace
}  // namespace lockstep::hw::hosted
