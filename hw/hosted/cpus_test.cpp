// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/cpus.h"

#include <gtest/gtest.h>

#include <functional>

#include "hw/hosted/quiet_listener.h"
#include "hw/hosted/test/toy.h"

namespace lockstep::hw::hosted {
namespace {

using lockstep::schedule::Access;
using lockstep::schedule::Allocation;
using lockstep::schedule::Hold;
using lockstep::schedule::LockKind;
using lockstep::schedule::Readers;
using lockstep::schedule::Tag;

/// Notes what it is told; what others do meanwhile is a function.
class Notes final : public lockstep::schedule::Listener {
 public:
  void lock(const Tag& lock, LockKind, Hold) override { say("lock", lock); }
  bool try_lock(const Tag&, LockKind, Hold) override { return true; }
  void unlock(const Tag&, Hold) noexcept override {}
  void atomic(const Tag&, Access, std::memory_order) override { ++accesses; }
  void plain(const Tag&, Access) override {}
  bool allocate(const Tag&, Allocation) override { return true; }
  void born(const Tag&) override {}
  void used(const Tag&) override {}
  void freed(const Tag&) noexcept override {}
  void enter(const Tag&, Readers) override {}
  void leave(const Tag&, Readers) noexcept override {}
  void synchronize(const Tag&) override {}
  void prepare_wait(const Tag& event) override { say("prepare", event); }
  void wait(const Tag&) override {}
  void spin(const Tag& event) override { say("spin", event); }
  void wake(const Tag& event) override { say("wake", event); }
  void count(const Tag&, std::int64_t) override {}
  void yield() override { say("yield", Tag("")); }
  void warn(const char*) override {}
  void null_used(const char*) override {}
  bool over() const override { return over_; }

  std::string told;
  unsigned accesses = 0;
  std::function<void()> meanwhile;
  bool over_ = false;
  bool throws_ = false;

 private:
  void say(const char* what, const Tag& tag) {
    told += std::string(what) + " " + tag.name;
    if (tag.number != Tag::unnumbered) told += "." + std::to_string(tag.number);
    told += "; ";
    if (meanwhile) meanwhile();
    if (throws_) throw 1;
  }
};

class CpusTest : public testing::Test {
 protected:
  void SetUp() override {
    build_toy(folder / "toy", 0x2000'0000);
    auto opened = Session::open(folder / "toy", {.program_bytes = 2ull << 20, .kernel_pages = 16},
                                nullptr, 1 << 20);
    ASSERT_TRUE(opened) << opened.error().message;
    session = std::move(*opened);
    cpus.emplace(*session);
    ASSERT_TRUE(cpus->create(Cpus::state(session->image())));
    cpus->begin(notes);
  }
  std::optional<long> ioctl(unsigned command, unsigned long argument = 0) {
    return session->host().enter(
        [&] { return session->image().boundary().ioctl(0, command, argument); });
  }
  TemporaryFolder folder;
  std::unique_ptr<Session> session;
  std::optional<Cpus> cpus;
  Notes notes;
};

TEST_F(CpusTest, EachHasItsOwnState) {
  cpus->enter(1);
  // Another one runs, and does not come back here by itself.
  notes.meanwhile = [&] {
    notes.meanwhile = {};
    cpus->enter(2);
    EXPECT_EQ(ioctl(20), 2);
  };
  EXPECT_EQ(ioctl(20), 1);
  EXPECT_EQ(notes.told, "lock lock; lock lock; ");
  cpus->enter(2);
  EXPECT_EQ(ioctl(20), 2);
}

TEST_F(CpusTest, EachIsFoundByTheOthers) {
  for (const unsigned self : {0u, 3u, 1u, 0u, 7u}) {
    cpus->enter(self);
    for (unsigned other = 0; other < HOSTED_CPUS; ++other) {
      EXPECT_EQ(ioctl(28, other), static_cast<long>(other)) << "from " << self;
    }
  }
}

TEST_F(CpusTest, TheEndOfTheRunLeavesTheImage) {
  cpus->enter(1);
  notes.throws_ = true;
  EXPECT_EQ(ioctl(20), std::nullopt);
  EXPECT_TRUE(session->host().tainted());
  EXPECT_FALSE(session->host().has_findings());
  notes.throws_ = false;
  notes.over_ = true;
  session->host().untaint();
  EXPECT_EQ(ioctl(20), std::nullopt);
}

TEST_F(CpusTest, InterruptsWaitUntilTheyAreTaken) {
  cpus->enter(1);
  EXPECT_EQ(ioctl(21, 2), 20) << "on CPU 2, with its interrupts off";
  EXPECT_EQ(notes.told, "");
  cpus->enter(2);
  EXPECT_EQ(ioctl(22, 0), 2);
  cpus->enter(1);
  unsigned rounds = 0;
  notes.meanwhile = [&] {
    if (++rounds != 2) return;
    cpus->enter(2);
    EXPECT_EQ(ioctl(22, 0x200), 2);
  };
  EXPECT_EQ(ioctl(21, 2), 20);
  EXPECT_EQ(notes.told, "prepare interrupts.2; spin interrupts.2; wake interrupts.2; ");
}

/// Readings of one address are told twice; who goes on reading waits for somebody.
TEST_F(CpusTest, WhoSpinsGivesWay) {
  cpus->enter(1);
  notes.meanwhile = [&] {
    notes.meanwhile = {};
    cpus->enter(2);
    EXPECT_EQ(ioctl(24, 1), 0);
  };
  const auto readings = ioctl(23);
  ASSERT_TRUE(readings);
  EXPECT_GT(*readings, 2);
  EXPECT_LT(*readings, 100);
  EXPECT_EQ(notes.accesses, 2u);
  EXPECT_EQ(notes.told, "yield ; ");
}

/// As a block begins and ends, and the next one.
TEST_F(CpusTest, OneRunsAloneBetweenBlocks) {
  QuietListener quiet;
  cpus->enter(1);
  EXPECT_EQ(ioctl(22, 0x600), 1) << "a state to come back to";
  EXPECT_EQ(ioctl(20), 1);
  EXPECT_EQ(notes.told, "lock lock; ");
  cpus->enter(0);
  quiet.begin();
  EXPECT_EQ(&cpus->tell_to(quiet), &notes);
  EXPECT_EQ(ioctl(20), 0);
  EXPECT_EQ(ioctl(21, 1), 11) << "CPU 1 has kept its flags";
  EXPECT_EQ(notes.told, "lock lock; ");
  (void)cpus->tell_to(notes);
  EXPECT_EQ(ioctl(20), 0);
  cpus->enter(1);
  EXPECT_EQ(ioctl(20), 1);
  EXPECT_EQ(notes.told, "lock lock; lock lock; lock lock; ");
}

/// Nobody wakes who waits between blocks: he leaves, and the next block begins anew.
TEST_F(CpusTest, WhoWaitsAloneLeaves) {
  QuietListener quiet;
  cpus->enter(2);
  EXPECT_EQ(ioctl(22, 0), 2);
  cpus->enter(0);
  quiet.begin();
  (void)cpus->tell_to(quiet);
  EXPECT_EQ(ioctl(21, 2), std::nullopt) << "CPU 2 takes no interrupt";
  EXPECT_TRUE(session->host().tainted());
  session->host().untaint();
  EXPECT_EQ(ioctl(20), std::nullopt);
  session->host().untaint();
  quiet.begin();
  EXPECT_EQ(ioctl(20), 0);
}

/// The kernel is left on the other CPU, in the middle of the interrupt.
TEST_F(CpusTest, AFindingInAnInterruptEndsIt) {
  cpus->enter(1);
  EXPECT_EQ(ioctl(30, 2), std::nullopt);
  EXPECT_TRUE(session->host().tainted());
  const auto found = session->host().take_findings();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.front().text, "told in an interrupt");
  session->host().untaint();
  cpus->enter(1);
  EXPECT_EQ(ioctl(20), 1);
  EXPECT_EQ(notes.told, "lock lock; ") << "no interrupt any more: its steps are told";
  EXPECT_EQ(ioctl(21, 3), 30);
  for (unsigned other = 0; other < HOSTED_CPUS; ++other) {
    EXPECT_EQ(ioctl(28, other), static_cast<long>(other));
  }
  cpus->end();
  EXPECT_EQ(ioctl(22, 0x200), 0) << "CPU 0 again";
}

/// The first guest of a VM on a CPU finds nothing cached there; later ones do.
TEST_F(CpusTest, GuestsRunOnTheCpuThatEntersThem) {
  Processors& processors = session->processors();
  processors.reset({.mode = PagingMode::level4, .host_maxphyaddr = 48, .amd = true}, 1);
  constexpr unsigned long vm = 8;
  const auto flushes = [&](unsigned command, unsigned long argument) {
    const auto before = processors.counts().flushes;
    EXPECT_TRUE(ioctl(command, argument));
    return processors.counts().flushes - before;
  };
  EXPECT_EQ(flushes(10, vm), 1u);
  cpus->enter(1);
  EXPECT_EQ(flushes(10, vm), 1u);
  EXPECT_EQ(flushes(10, vm), 0u);
  EXPECT_EQ(flushes(31, 2), 1u) << "an interrupt's, on CPU 2";
  EXPECT_EQ(flushes(10, vm), 0u) << "CPU 1 has not run that one's guest";
  cpus->enter(2);
  EXPECT_EQ(flushes(10, vm), 1u);
  cpus->enter(0);
  EXPECT_EQ(flushes(10, vm), 0u);
  cpus->enter(1);
  cpus->begin(notes);
  EXPECT_EQ(flushes(10, vm), 0u) << "on CPU 0";
}

TEST_F(CpusTest, NobodyListensAfterTheEnd) {
  cpus->enter(1);
  cpus->end();
  EXPECT_EQ(ioctl(22, 0x200), 0) << "CPU 0 again";
}

}  // namespace
}  // namespace lockstep::hw::hosted
