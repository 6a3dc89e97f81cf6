// SPDX-License-Identifier: GPL-2.0-or-later
/// One execution of threads as fibers, a scheduler choosing every step, with
/// detectors of what goes wrong between threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "props/schedule/clock.h"
#include "props/schedule/failure.h"
#include "props/schedule/fiber.h"
#include "props/schedule/scheduler.h"
#include "props/schedule/witness.h"
#include "spec/vocabulary/schedule_point.h"

namespace lockstep::props::schedule {

/// What runs: made anew for each run, since every run begins in one state. Its
/// constructor and tear_down() run alone, before and after the threads.
class Body {
 public:
  virtual ~Body() = default;
  virtual unsigned threads() const = 0;  ///< 1 to most_threads
  virtual void thread(unsigned id) = 0;
  /// Free everything; what is left is a leak.
  virtual void tear_down() {}
  /// An invariant that is broken, as one line; asked whenever no lock is held.
  /// Must not announce anything.
  virtual const char* broken() const { return nullptr; }
};

/// One line of what happened.
struct TraceLine {
  unsigned thread = 0;
  std::string text;
  /// Whether a step that other threads can tell the order of begins here.
  bool step = false;
  /// The step as schedules name it, "lock cache.0"; empty if it is none.
  std::string label = {};
  /// The scheduler took another thread than Choice::lazy() would have.
  bool chosen = false;
  /// A running thread was made to wait for this one.
  bool preempted = false;
};

struct Outcome {
  std::optional<Failure> failure;
  /// Who took each step, in order: what Follow needs to do the same again.
  std::vector<std::uint8_t> order;
  /// Of every step that was taken and of everybody's next ones: equal orders
  /// must give equal fingerprints.
  std::uint64_t fingerprint = 0;
  unsigned preemptions = 0;
  /// The scheduler stopped the run.
  bool stopped = false;
  /// Only if Runner::trace() is on.
  std::vector<TraceLine> trace;
};

/// Runs on the thread that made it, one execution at a time.
class Runner final : public lockstep::schedule::Listener {
 public:
  using Tag = lockstep::schedule::Tag;
  using LockKind = lockstep::schedule::LockKind;
  using Hold = lockstep::schedule::Hold;
  using Access = lockstep::schedule::Access;
  using Allocation = lockstep::schedule::Allocation;
  using Readers = lockstep::schedule::Readers;

  Runner();
  ~Runner() override;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  /// One execution. The outcome stays until the next one.
  const Outcome& execute(Scheduler& scheduler, const std::function<std::unique_ptr<Body>()>& make);

  /// Which accesses race when nothing orders them.
  enum class Races : std::uint8_t {
    any_plain,   ///< one of them is plain: C++'s rule
    both_plain,  ///< both are: who marks an access expects others, as kernels mean it
  };
  void races(Races rule) { races_ = rule; }
  /// What code at an address is called, for reports of races; null: nothing.
  void name_code(std::function<std::string(std::uint64_t)> name) { name_code_ = std::move(name); }
  /// Whether these two race by intent, each named as name_code() does; null: none do.
  void known_races(std::function<bool(std::string_view, std::string_view)> known) {
    known_races_ = std::move(known);
  }
  /// Keep a trace: slow, for reports.
  void trace(bool on) { tracing_ = on; }
  /// Write every run down there while it goes on; null: nowhere. Not owned.
  void witness(Witness* witness) { witness_ = witness; }
  Witness* witness() const { return witness_; }
  /// Steps after which a run is a livelock; most_steps at most.
  void limit(unsigned steps) { step_limit_ = std::min(steps, most_steps); }
  /// A line of the trace by the body itself, such as the command that begins.
  void note(std::string text);
  bool tracing() const { return tracing_; }
  /// A step of this run by name: "lock cache.0".
  std::string label(const Step& step) const;
  /// Who runs: a thread, or main_thread.
  unsigned self() const { return current_; }
  /// The run is over and threads are only unwound: state means nothing more.
  bool over() const override { return over_; }
  /// The body has seen something that must not be: the run is over, as of this thread.
  void report(FailureKind kind, std::string text);
  /// Let the n-th allocation from now on (from 0) find no memory, once.
  void fail_allocation(std::uint64_t n);
  /// Somebody calls that in this run: from here on, others can tell who allocates first.
  void tell_allocations() { allocations_told_ = true; }

  // What is announced: see Listener.
  void lock(const Tag& lock, LockKind kind, Hold hold) override;
  bool try_lock(const Tag& lock, LockKind kind, Hold hold) override;
  void unlock(const Tag& lock, Hold hold) noexcept override;
  void atomic(const Tag& object, Access access, std::memory_order order) override;
  void plain(const Tag& object, Access access) override;
  void code(std::uint64_t address) override { code_ = address; }
  bool allocate(const Tag& what, Allocation how) override;
  void born(const Tag& object) override;
  void used(const Tag& object) override;
  void freed(const Tag& object) noexcept override;
  void enter(const Tag& domain, Readers kind) override;
  void leave(const Tag& domain, Readers kind) noexcept override;
  void synchronize(const Tag& domain) override;
  void prepare_wait(const Tag& event) override;
  void wait(const Tag& event) override;
  void spin(const Tag& event) override;
  void wake(const Tag& event) override;
  void count(const Tag& counter, std::int64_t now) override;
  void yield() override;
  void warn(const char* what) override;
  void null_used(const char* what) override;

 private:
  /// Unwinds a thread when the run is over.
  struct Over {};
  struct Object;
  struct Thread;
  struct Held;

  static void fiber_entry(void* argument);
  void run_thread(unsigned id);
  void end_thread(unsigned id);

  Thread& self_thread() const { return *threads_[current_]; }
  Object& object(const Tag& tag);
  std::string name(const Object& object) const;

  /// Announce the step and let others run; it can be taken when this returns.
  void point(Step step);
  void point_quietly(Step step) noexcept;
  /// Choose who goes on, and switch there.
  void pass_on();
  bool enabled(const Thread& thread, const Step& step) const;
  void unwind_if_over() const;
  void fail(FailureKind kind, std::string text) noexcept;
  [[noreturn]] void die(FailureKind kind, std::string text);
  bool alone() const { return current_ == main_thread; }
  void check_invariant() noexcept;
  void blocked() noexcept;

  void acquire(const Tag& lock, LockKind kind, Hold hold);
  void order_locks(std::uint32_t taken);
  bool reaches(std::uint32_t from, std::uint32_t to) const;
  void must_not_be_atomic(const char* what);
  /// Addresses of code: who last read and wrote an object, a thread each.
  struct Codes {
    std::array<std::uint64_t, most_threads + 1> read{}, written{};
  };
  void race(const Object& object, const Clock& before, std::string_view mine,
            std::string_view theirs);
  void remember_code(std::uint32_t object, Access access);
  void seen_alive(const Object& object);

  Tag memory_{"memory"};
  std::vector<std::unique_ptr<Thread>> threads_;  ///< main_thread is the last
  std::vector<Object> objects_;                   ///< [0] is none
  std::size_t objects_used_ = 1;
  std::vector<Step> next_;
  struct Edge {
    std::uint32_t from, to;
  };
  std::vector<Edge> lock_order_;
  Scheduler* scheduler_ = nullptr;
  Body* body_ = nullptr;
  Witness* witness_ = nullptr;
  Outcome outcome_;
  unsigned count_ = 0;  ///< threads of this run
  unsigned current_ = main_thread;
  unsigned last_ = main_thread;  ///< who took the last step
  unsigned left_ = 0;            ///< threads that have not ended
  unsigned locks_held_ = 0;
  unsigned live_ = 0;
  std::uint32_t run_ = 0;
  unsigned steps_ = 0;
  unsigned step_limit_ = 20'000;
  std::optional<std::uint64_t> fail_allocation_;
  bool allocations_told_ = false;
  bool over_ = false;
  bool tracing_ = false;
  Races races_ = Races::any_plain;
  std::function<std::string(std::uint64_t)> name_code_;
  std::function<bool(std::string_view, std::string_view)> known_races_;
  std::uint64_t code_ = 0;
  std::vector<Codes> codes_;  ///< by object, as far as somebody said
};

}  // namespace lockstep::props::schedule
