// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/schedulers.h"

#include <gtest/gtest.h>

#include <mutex>
#include <set>

#include "props/schedule/primitives.h"
#include "props/schedule/test_threads.h"

namespace lockstep::props::schedule {
namespace {

/// What random programs of three operations leave behind.
struct Cells {
  Atomic<int> cell[2] = {Atomic<int>(0, "cell", 0), Atomic<int>(0, "cell", 1)};
  Mutex lock{"lock"};
  std::string seen[3];
};

std::set<std::string>* ends = nullptr;
std::set<std::string>* states = nullptr;

class Program final : public Body {
 public:
  Program(std::uint64_t seed, unsigned threads) : seed_(seed), threads_(threads) {}
  unsigned threads() const override { return threads_; }
  void thread(unsigned id) override {
    Random random(seed_ * 8 + id);
    for (int i = 0; i < 3; ++i) {
      auto& cell = cells_.cell[random.below(2)];
      switch (random.below(4)) {
        case 0:
          cells_.seen[id] += std::to_string(cell.load());
          break;
        case 1:
          cell.store(static_cast<int>(id) + 1);
          break;
        case 2: {
          const std::scoped_lock held(cells_.lock);
          cells_.seen[id] += std::to_string(cell.add(2));
          break;
        }
        default:
          if (cells_.lock.try_lock()) {
            cells_.seen[id] += "t";
            cells_.lock.unlock();
          }
      }
    }
  }
  void tear_down() override { ends->insert(state()); }
  const char* broken() const override {
    states->insert(state());
    return nullptr;
  }

 private:
  std::string state() const {
    std::string text;
    for (const auto& cell : cells_.cell) text += std::to_string(cell.peek()) + " ";
    for (const auto& seen : cells_.seen) text += seen + " ";
    return text;
  }
  std::uint64_t seed_;
  unsigned threads_;
  Cells cells_;
};

unsigned explore(Scheduler& scheduler, std::uint64_t seed, unsigned threads,
                 std::set<std::string>& all_ends, std::set<std::string>& all_states) {
  ends = &all_ends;
  states = &all_states;
  Runner runner;
  unsigned runs = 0;
  while (scheduler.begin()) {
    const auto& outcome =
        runner.execute(scheduler, [&] { return std::make_unique<Program>(seed, threads); });
    EXPECT_FALSE(outcome.failure) << outcome.failure->text;
    if (++runs == 200'000) break;
  }
  return runs;
}

TEST(Exhaustive, SleepSetsKeepEveryState) {
  unsigned all_runs = 0;
  unsigned reduced_runs = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::set<std::string> ends[2], states[2];
    Exhaustive reduced;
    Exhaustive all(1000);
    reduced_runs += explore(reduced, seed, 2, ends[0], states[0]);
    all_runs += explore(all, seed, 2, ends[1], states[1]);
    ASSERT_TRUE(reduced.complete() && all.complete());
    EXPECT_EQ(ends[0], ends[1]) << seed;
    EXPECT_EQ(states[0], states[1]) << seed;
  }
  EXPECT_LT(reduced_runs * 2, all_runs);
}

TEST(Exhaustive, EveryScheduleOnceAndNoMoreThanThere) {
  // Two threads of three steps, their start included: 6! / (3! 3!) orders.
  Runner runner;
  const auto two = [](Cells& s) {
    s.cell[0].add(1);
    s.cell[0].add(1);
  };
  Exhaustive all(1000);
  EXPECT_EQ((AllSchedules<Cells>(runner, all, {two, two}).runs), 20u);
}

TEST(Exhaustive, PreemptionsAreBounded) {
  Runner runner;
  for (unsigned bound = 0; bound <= 3; ++bound) {
    Exhaustive some(bound);
    unsigned most = 0;
    while (some.begin()) {
      std::set<std::string> none;
      ends = states = &none;
      most = std::max(
          most, runner.execute(some, [] { return std::make_unique<Program>(5, 3); }).preemptions);
    }
    EXPECT_TRUE(some.complete());
    EXPECT_EQ(most, bound);
  }
}

/// A bug that needs `depth` - 1 preemptions in one order: a lost update, and for
/// depth 3 two of them.
struct Lost {
  Atomic<int> value{0, "value"};
  int losses = 0;
};

// A thread that allocates is preempted there, where somebody else lets memory run out.
TEST(Exhaustive, AllocationsFailInEveryOrder) {
  const Tag page("page");
  for (const bool bounded : {false, true}) {
    std::set<std::string> seen;
    Runner run;
    Exhaustive all(bounded ? std::optional(1u) : std::nullopt);
    struct State {
      std::string got;
    };
    const std::vector<std::function<void(State&)>> threads = {
        [&](State&) { run.fail_allocation(0); },
        [&](State& state) {
          for (int i = 0; i < 3; ++i) {
            state.got += listener->allocate(page, Allocation::atomic) ? '+' : '-';
          }
          seen.insert(state.got);
        }};
    while (all.begin()) {
      run.execute(all, [&] {
        run.tell_allocations();
        return std::make_unique<TestThreads<State>>(threads);
      });
    }
    EXPECT_EQ(seen, (std::set<std::string>{"-++", "+-+", "++-", "+++"}));
  }
}

TEST(Pct, FindsWhatNeedsOnePreemption) {
  const std::vector<std::function<void(Lost&)>> program(2, [](Lost& s) {
    const int seen = s.value.load();
    s.value.store(seen + 1);
    if (s.value.load() != seen + 1) listener->warn("another update came between");
  });
  Runner runner;
  Pct pct(1, 2);
  unsigned found = 0;
  for (int i = 0; i < 500; ++i) {
    pct.begin();
    const auto& outcome =
        runner.execute(pct, [&] { return std::make_unique<TestThreads<Lost>>(program); });
    found += outcome.failure ? 1 : 0;
    EXPECT_LE(outcome.preemptions, 2u);
  }
  // 1 / (n k^(d-1)) with n = 2, k = 8.
  EXPECT_GT(found, 500u / 16);
}

/// A short section of readers behind a long way.
struct Reader {
  Atomic<int> own{0, "own"};
  Atomic<int> value{0, "value"};
  Rcu rcu{"rcu"};
};

TEST(Pct, StandsStillAmongReaders) {
  const std::vector<std::function<void(Reader&)>> program = {
      [](Reader& s) {
        for (int i = 0; i < 300; ++i) s.own.store(i);
        const std::scoped_lock reading(s.rcu);
        const int seen = s.value.load();
        if (s.value.load() != seen) listener->warn("it changed between two looks");
      },
      [](Reader& s) { s.value.store(1); }};
  const auto found = [&](Pct::Where where) {
    Runner runner;
    Pct pct(1, 2, where);
    unsigned count = 0;
    for (int i = 0; i < 200; ++i) {
      pct.begin();
      const auto& outcome =
          runner.execute(pct, [&] { return std::make_unique<TestThreads<Reader>>(program); });
      count += outcome.failure ? 1 : 0;
    }
    return count;
  };
  EXPECT_GT(found(Pct::Where::among_readers), 200u / 16);
  EXPECT_LT(found(Pct::Where::anywhere), 200u / 32);
}

TEST(Follow, DoesTheSameAgain) {
  Runner runner;
  RandomWalk walk(7);
  std::set<std::string> first, again, states_seen;
  states = &states_seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto make = [&] { return std::make_unique<Program>(seed, 3); };
    ends = &first;
    const Outcome outcome = runner.execute(walk, make);
    Follow same(outcome.order);
    same.begin();
    ends = &again;
    const Outcome& replayed = runner.execute(same, make);
    EXPECT_EQ(replayed.order, outcome.order);
    EXPECT_EQ(replayed.fingerprint, outcome.fingerprint);
    EXPECT_EQ(first, again);
  }
}

TEST(Witness, KeepsTheLongestRun) {
  const auto witness = std::make_unique<Witness>();
  Runner run;
  run.witness(witness.get());
  struct State {
    Atomic<unsigned> value{0, "value"};
  };
  const auto ever = [](State& state) {
    for (;;) state.value.add(1);
  };
  const std::vector<std::function<void(State&)>> threads = {ever, ever};
  RandomWalk walk(1);
  walk.begin();
  run.limit(~0u);
  const auto outcome =
      run.execute(walk, [&] { return std::make_unique<TestThreads<State>>(threads); });
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, FailureKind::livelock);
  EXPECT_EQ(outcome.order.size(), most_steps);
  EXPECT_EQ(witness->order(), outcome.order);
}

TEST(Follow, ShowsWhatDoesNotDependOnTheSchedule) {
  // A program that remembers its earlier runs.
  int runs = 0;
  const std::vector<std::function<void(Cells&)>> program(2, [&runs](Cells& s) {
    if (++runs > 2) s.cell[1].load();
    s.cell[0].load();
  });
  const auto make = [&] { return std::make_unique<TestThreads<Cells>>(program); };
  Runner runner;
  RandomWalk walk(1);
  const Outcome outcome = runner.execute(walk, make);
  Follow same(outcome.order);
  same.begin();
  EXPECT_NE(runner.execute(same, make).fingerprint, outcome.fingerprint);
}

}  // namespace
}  // namespace lockstep::props::schedule
