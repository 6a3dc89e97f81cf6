// SPDX-License-Identifier: GPL-2.0-or-later
// Lock-free code of impl under the C++ memory model, by Relacy: the text of the headers
// itself over its atomics. Limits: two or three threads, a few operations each; random
// search among executions and orders of the model, no proof; Relacy knows neither
// consume nor values out of thin air. Each test has a twin with every order relaxed,
// which must fail: what the search cannot see, it does not check.
#include "impl/relacy/relacy_atomics.h"

#include "impl/mmu_lock.h"
#include "impl/page_counter.h"
#include "impl/shadow_page.h"
#include "impl/slot_readers.h"
#include "impl/walkers.h"

#include <cstdio>

namespace lockstep::impl {
namespace {

constexpr auto here = [] { return rl::debug_info("", "", 0); };

/// Writers and readers of plain data behind the lock.
struct LockTest : rl::test_suite<LockTest, 3> {
  MmuLock lock;
  rl::var<int> data;
  void before() { data(here()) = 0; }
  void thread(unsigned id) {
    if (id == 0) {
      lock.lock_shared();
      const int seen = data(here());
      RL_ASSERT(seen == 0 || seen == 1 || seen == 2);
      lock.unlock_shared();
      return;
    }
    lock.lock();
    data(here()) = static_cast<int>(data(here())) + 1;
    lock.unlock();
  }
  void after() { RL_ASSERT(static_cast<int>(data(here())) == 2); }
};

/// A table is unlinked, and reused when no walk can be in it.
struct WalkersTest : rl::test_suite<WalkersTest, 2> {
  Walkers walkers;
  std::atomic<std::uint64_t> link{1};
  rl::var<int> table;
  void before() { table(here()) = 1; }
  void thread(unsigned id) {
    if (id == 0) {
      const Walkers::Walk walking(walkers, 0);
      // As ShadowPage::spte() does.
      if (link.load(std::memory_order_relaxed) == 1) {
        RL_ASSERT(static_cast<int>(table(here())) == 1);
      }
    } else {
      link.store(0, std::memory_order_release);
      walkers.wait();
      table(here()) = 2;
    }
  }
};

/// A slot is taken out, and freed when no reader can hold it.
struct SlotsTest : rl::test_suite<SlotsTest, 2> {
  SlotReaders readers;
  std::atomic<unsigned> active{0};
  rl::var<int> slot;
  void before() { slot(here()) = 1; }
  void thread(unsigned id) {
    if (id == 0) {
      const SlotReaders::Section reading(readers, 3);
      if (active.load(std::memory_order_acquire) == 0) {
        RL_ASSERT(static_cast<int>(slot(here())) == 1);
      }
    } else {
      active.store(1, std::memory_order_release);
      readers.wait();
      slot(here()) = 2;
    }
  }
};

/// Two fault the same entry in, each with a table of its own; a third takes down what is
/// there. TdpMmu::exchange() and take_down(), without their books.
struct SpteTest : rl::test_suite<SpteTest, 3> {
  alignas(4096) std::array<std::uint64_t, 512> entries{};
  ShadowPage page{entries.data(), 0, 1};
  std::array<rl::var<int>, 2> tables;
  std::atomic<std::uint32_t> linked{0};
  std::atomic<std::uint32_t> taken{0};
  relacy::Cells cells;
  void before() {
    for (auto& table : tables) table(here()) = 0;
    relacy::Cells::now = &cells;
    std::uint64_t none = 1;
    RL_ASSERT(!page.exchange(7, none, 2));
  }
  static std::uint64_t link_to(unsigned which) { return 0x1000ull * (which + 1) | 1; }
  void thread(unsigned id) {
    if (id == 2) {
      const std::uint64_t old = page.swap(7, spte::removed);
      if (old == 0 || old == spte::removed) return;
      RL_ASSERT(static_cast<int>(tables[(old >> 12) - 1](here())) == 1);
      taken.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    std::uint64_t seen = page.spte(7);
    if (seen != 0) return;
    tables[id](here()) = 1;  // filled before it can be found
    if (page.exchange(7, seen, link_to(id))) linked.fetch_add(1, std::memory_order_relaxed);
  }
  void after() {
    const std::uint64_t left = page.spte(7);
    const std::uint32_t there = left != 0 && left != spte::removed ? 1 : 0;
    RL_ASSERT(linked.load() <= 1);
    RL_ASSERT(linked.load() == taken.load() + there);
  }
};

/// Charges of several threads: the sum is right at the end and never below zero.
struct CounterTest : rl::test_suite<CounterTest, 3> {
  PageCounter counter{2};
  void thread(unsigned id) {
    if (id == 2) {
      RL_ASSERT(counter.used() <= 4);
      RL_ASSERT(counter.available() <= 2);
      return;
    }
    PageCharge first = counter.charge();
    PageCharge second = counter.charge();
    first = PageCharge{};
    RL_ASSERT(counter.used() >= 1);
  }
  void after() { RL_ASSERT(counter.used() == 0); }
};

/// Keeps the beginning of what is said: Relacy takes over operator new, so nothing that
/// allocates may live across an execution.
class Words : public ::std::streambuf {
 public:
  Words() { setp(text_, text_ + sizeof text_ - 1); }
  const char* text() {
    *pptr() = 0;
    return text_;
  }

 private:
  int overflow(int c) override { return c; }
  char text_[1 << 16];
};

/// Whether `Test` holds in so many executions; what it said if not.
template <typename Test>
bool holds(unsigned executions, Words& words) {
  ::std::ostream out(&words);
  rl::test_params params;
  params.iteration_count = executions;
  params.output_stream = &out;
  params.progress_stream = &out;
  return rl::simulate<Test>(params);
}

/// `order_matters`: with every order relaxed it must fail.
template <typename Test>
bool check(const char* name, unsigned executions, bool order_matters) {
  static Words said, aside;
  relacy::weakened = false;
  if (!holds<Test>(executions, said)) {
    ::std::printf("%-12s FAIL\n%s\n", name, said.text());
    return false;
  }
  relacy::weakened = true;
  const bool blind = order_matters && holds<Test>(executions, aside);
  relacy::weakened = false;
  ::std::printf("%-12s %u executions hold%s\n", name, executions,
                blind           ? "; FAIL: relaxed orders are not seen"
                : order_matters ? ", relaxed ones do not"
                                : ", whatever the orders");
  return !blind;
}

}  // namespace
}  // namespace lockstep::impl

int main() {
  using namespace lockstep::impl;
  bool right = check<LockTest>("mmu-lock", 20'000, /*order_matters=*/true);
  right &= check<WalkersTest>("walkers", 20'000, /*order_matters=*/true);
  right &= check<SlotsTest>("slot-readers", 20'000, /*order_matters=*/true);
  right &= check<SpteTest>("spte", 20'000, /*order_matters=*/true);
  // A count is one atomic: nothing is read behind it.
  right &= check<CounterTest>("page-counter", 20'000, /*order_matters=*/false);
  return right ? 0 : 1;
}
