// SPDX-License-Identifier: GPL-2.0-or-later
/// Each detector: a program that shows the defect in some schedule, and one that
/// is right in all.
#include <gtest/gtest.h>

#include <mutex>
#include <shared_mutex>
#include <string>

#include "props/schedule/primitives.h"
#include "props/schedule/schedulers.h"
#include "props/schedule/test_threads.h"

namespace lockstep::props::schedule {
namespace {

struct State {
  Heap heap;
  Mutex a{"a"}, b{"b"};
  SpinLock spin{"spin"};
  Rcu rcu{"rcu"};
  Srcu srcu{"srcu"};
  Atomic<int> flag{0, "flag"};
  Plain<int> data{0, "data"};
  Counter counter{"counter"};
  WaitQueue queue{"queue"};
  Ref<Plain<int>> object = heap.make<Plain<int>>("object", 0, 7, "field");
  Atomic<Node<Plain<int>>*> published{object.node(), "published"};
  bool freed = false;

  void free_object() {
    heap.free(object);
    freed = true;
  }
  void tear_down() {
    if (!freed) heap.free(object);
  }
};
using Program = std::vector<std::function<void(State&)>>;

/// All failures in all schedules, both with sleep sets and without.
void expect(const Program& program, std::optional<FailureKind> kind) {
  Runner run;
  Exhaustive all;
  const AllSchedules<State> reduced(run, all, program);
  Exhaustive bounded(3);
  const AllSchedules<State> plain(run, bounded, program);
  for (const auto* found : {&reduced, &plain}) {
    if (kind) {
      EXPECT_TRUE(found->only(*kind))
          << found->failures.size() << " of " << found->runs << ", "
          << (found->failures.empty() ? "" : found->failures.front().text);
    } else {
      EXPECT_TRUE(found->failures.empty())
          << name(found->failures.front().kind) << ": " << found->failures.front().text;
    }
  }
  EXPECT_TRUE(all.complete());
}

TEST(Detectors, Deadlock) {
  // A gate keeps the orders from meeting, so that they are no deadlock; locks
  // that are held while another is waited for are.
  expect({[](State& s) {
            s.a.lock();
            s.flag.store(1);
            while (s.flag.load() != 2) listener->yield();
            s.a.unlock();
          },
          [](State& s) {
            while (s.flag.load() != 1) listener->yield();
            s.flag.store(2);
            const std::scoped_lock held(s.a);
          }},
         std::nullopt);
  expect({[](State& s) { s.queue.prepare(), s.queue.sleep(); }, [](State&) {}},
         FailureKind::deadlock);
  expect({[](State& s) {
           s.a.lock();
           s.a.lock();
         }},
         FailureKind::deadlock);
}

TEST(Detectors, LockOrder) {
  const auto take = [](auto first, auto second) {
    return [=](State& s) {
      const std::scoped_lock one(s.*first);
      const std::scoped_lock other(s.*second);
    };
  };
  Runner run;
  RandomWalk walk(1);
  // One thread after the other shows it, too.
  struct Lazy final : Scheduler {
    bool more = true;
    bool begin() override { return std::exchange(more, false); }
    unsigned choose(const Choice& choice) override { return choice.lazy(); }
  } lazy;
  const Program inverted = {take(&State::a, &State::b), take(&State::b, &State::a)};
  EXPECT_TRUE(AllSchedules<State>(run, lazy, inverted).only(FailureKind::lock_order));
  expect({take(&State::a, &State::b), take(&State::a, &State::b)}, std::nullopt);
  // A lock that is only tried waits for nobody.
  expect({take(&State::a, &State::b),
          [](State& s) {
            const std::scoped_lock one(s.b);
            if (s.a.try_lock()) s.a.unlock();
          }},
         std::nullopt);
}

TEST(Detectors, SleepInAtomic) {
  const auto with = [](auto inside) {
    return Program{[=](State& s) {
      const std::scoped_lock held(s.spin);
      inside(s);
    }};
  };
  const Tag page("page");
  expect(with([](State& s) { const std::scoped_lock held(s.a); }), FailureKind::sleep_in_atomic);
  expect(with([&](State&) { listener->allocate(page, Allocation::may_sleep); }),
         FailureKind::sleep_in_atomic);
  expect(with([&](State&) { listener->allocate(page, Allocation::atomic); }), std::nullopt);
  expect(with([](State& s) { s.srcu.synchronize(); }), FailureKind::sleep_in_atomic);
  expect({[&](State& s) {
           const std::scoped_lock reading(s.srcu);
           const std::scoped_lock held(s.a);
           listener->allocate(page, Allocation::may_sleep);
         }},
         std::nullopt);
  expect({[&](State& s) {
           const std::scoped_lock reading(s.rcu);
           const std::scoped_lock held(s.a);
         }},
         FailureKind::sleep_in_atomic);
}

TEST(Detectors, Unlocks) {
  expect({[](State& s) {
           s.a.lock();
           s.a.unlock();
           s.a.unlock();
         }},
         FailureKind::double_unlock);
  expect({[](State& s) {
            s.a.lock();
            s.flag.store(1);
            while (s.flag.load() != 2) listener->yield();
          },
          [](State& s) {
            while (s.flag.load() != 1) listener->yield();
            s.a.unlock();
          }},
         FailureKind::foreign_unlock);
  expect({[](State& s) { s.a.lock(); }}, FailureKind::lock_kept);
  expect({[](State& s) { const std::shared_lock held(s.a); },
          [](State& s) { const std::scoped_lock held(s.a); }},
         std::nullopt);
}

TEST(Detectors, UseAfterFree) {
  const auto reader = [](State& s) {
    const std::scoped_lock reading(s.rcu);
    if (auto* node = s.published.load()) Ref(*node)->get();
  };
  const auto writer = [](bool waits) {
    return [=](State& s) {
      s.published.store(nullptr);
      if (waits) s.rcu.synchronize();
      s.free_object();
    };
  };
  expect({reader, writer(true)}, std::nullopt);
  expect({reader, writer(false)}, FailureKind::use_after_free);
  // Whoever enters after synchronize() has begun is not waited for.
  expect({reader, reader, writer(true)}, std::nullopt);
  expect({[](State& s) {
           s.free_object();
           s.heap.free(s.object);
         }},
         FailureKind::double_free);
  expect({[](State& s) { s.heap.make<int>("forgotten", 0, 1); }}, FailureKind::leak);
}

TEST(Detectors, Sections) {
  expect({[](State& s) { s.rcu.unlock(); }}, FailureKind::unbalanced);
  expect({[](State& s) { s.srcu.lock(); }}, FailureKind::unbalanced);
  expect({[](State& s) {
            s.srcu.lock();
            s.srcu.lock();
            s.srcu.unlock();
            s.srcu.unlock();
          },
          [](State& s) { s.srcu.synchronize(); }},
         std::nullopt);
  expect({[](State& s) {
           s.srcu.lock();
           s.srcu.synchronize();
         }},
         FailureKind::deadlock);
}

TEST(Detectors, LostWakeup) {
  const auto waker = [](State& s) {
    s.flag.store(1);
    s.queue.wake();
  };
  expect({[](State& s) {
            for (;;) {
              s.queue.prepare();
              if (s.flag.load() != 0) break;
              s.queue.sleep();
            }
          },
          waker},
         std::nullopt);
  expect({[](State& s) {
            while (s.flag.load() == 0) {
              s.queue.prepare();
              s.queue.sleep();
            }
          },
          waker},
         FailureKind::lost_wakeup);
}

TEST(Detectors, NegativeCounter) {
  expect({[](State& s) { s.counter.add(1), s.flag.store(1); },
          [](State& s) {
            if (s.flag.load() == 1) s.counter.add(-1);
          }},
         std::nullopt);
  expect({[](State& s) { s.flag.store(1), s.counter.add(1); },
          [](State& s) {
            if (s.flag.load() == 1) s.counter.add(-1);
          }},
         FailureKind::negative_counter);
}

TEST(Detectors, DataRace) {
  const auto locked = [](State& s) {
    const std::scoped_lock held(s.a);
    ++s.data.change();
  };
  expect({locked, locked}, std::nullopt);
  expect({locked, [](State& s) { ++s.data.change(); }}, FailureKind::data_race);
  const auto publish = [](std::memory_order order) {
    return [=](State& s) {
      s.data.set(1);
      s.flag.store(1, order);
    };
  };
  const auto consume = [](State& s) {
    if (s.flag.load(std::memory_order_acquire) == 1) s.data.get();
  };
  expect({publish(std::memory_order_release), consume}, std::nullopt);
  expect({publish(std::memory_order_relaxed), consume}, FailureKind::data_race);
}

/// Kernels mark what they expect to race; then only accesses that nobody marked do, and
/// the report names the code of both.
TEST(Detectors, RacesOfKernels) {
  const lockstep::schedule::Tag word("word");
  const auto marked = [&](State&) {
    listener->atomic(word, Access::read, std::memory_order_seq_cst);
  };
  const auto writer = [&](State&) {
    listener->code(0x10);
    listener->plain(word, Access::write);
  };
  const auto reader = [&](State&) {
    listener->code(0x20);
    listener->plain(word, Access::read);
  };
  Runner run;
  const auto every = [&](const Program& program) {
    Exhaustive all;
    AllSchedules<State> found(run, all, program);
    EXPECT_NE(found.runs, 0u);
    return found;
  };
  run.name_code([](std::uint64_t code) { return code == 0x10 ? "writer()" : "reader()"; });
  EXPECT_TRUE(every({marked, writer}).only(FailureKind::data_race));
  run.races(Runner::Races::both_plain);
  EXPECT_TRUE(every({marked, writer}).failures.empty());
  const auto race = every({reader, writer});
  ASSERT_TRUE(race.only(FailureKind::data_race));
  EXPECT_NE(race.failures.front().text.find("writer()"), std::string::npos);
  EXPECT_NE(race.failures.front().text.find("reader()"), std::string::npos);
  run.known_races([](std::string_view one, std::string_view other) {
    return one.find("writer") != one.npos && other.find("reader") != other.npos;
  });
  EXPECT_TRUE(every({writer, reader}).only(FailureKind::data_race));
  run.known_races([](std::string_view, std::string_view) { return true; });
  EXPECT_TRUE(every({reader, writer}).failures.empty());
}

TEST(Detectors, AKnownRaceHidesNoOther) {
  const lockstep::schedule::Tag word("word");
  const auto access = [&](std::uint64_t code, Access how) {
    return [&word, code, how](State&) {
      listener->code(code);
      listener->plain(word, how);
    };
  };
  const Program program = {access(1, Access::write), access(2, Access::write),
                           access(3, Access::read)};
  Runner run;
  run.races(Runner::Races::both_plain);
  run.name_code([](std::uint64_t code) { return std::to_string(code); });
  run.known_races(
      [](std::string_view one, std::string_view other) { return one == "1" || other == "1"; });
  // One after the other: the last meets the first, and the second behind it.
  Follow follow({0, 1, 2});
  follow.begin();
  const Outcome& outcome =
      run.execute(follow, [&] { return std::make_unique<TestThreads<State>>(program); });
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, FailureKind::data_race);
  EXPECT_NE(outcome.failure->text.find("by 2 of another thread"), std::string::npos)
      << outcome.failure->text;
}

TEST(Detectors, Endings) {
  expect({[](State&) { throw 1; }}, FailureKind::exception);
  expect({[](State&) { *Ref<int>(); }}, FailureKind::null_dereference);
  expect({[](State&) { listener->warn("unlikely"); }}, FailureKind::warning);
  Runner run;
  run.limit(50);
  RandomWalk walk(1);
  Exhaustive all;
  const Program spin = {[](State&) {
    for (;;) listener->yield();
  }};
  EXPECT_TRUE(AllSchedules<State>(run, all, spin).only(FailureKind::livelock));
}

struct Watched {
  Mutex lock{"lock"};
  Atomic<int> one{0, "one"}, other{0, "other"};
  const char* broken() const { return one.peek() == other.peek() ? nullptr : "one is the other"; }
};

TEST(Detectors, InvariantsHoldWhereNoLockIsHeld) {
  Runner run;
  Exhaustive all;
  const auto both = [](Watched& s) {
    const std::scoped_lock held(s.lock);
    s.one.add(1);
    s.other.add(1);
  };
  EXPECT_TRUE(AllSchedules<Watched>(run, all, {both, both}).failures.empty());
  Exhaustive again;
  const auto bare = [](Watched& s) {
    s.one.add(1);
    s.other.add(1);
  };
  EXPECT_TRUE(AllSchedules<Watched>(run, again, {both, bare}).only(FailureKind::invariant));
}

}  // namespace
}  // namespace lockstep::props::schedule
