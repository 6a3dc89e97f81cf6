// SPDX-License-Identifier: GPL-2.0-or-later
/// Runner: threads as fibers, and who goes on.
#include "props/schedule/runner.h"

#include <fmt/format.h>

#include <exception>

#include "props/schedule/runner_state.h"

namespace lockstep::props::schedule {

Runner::Runner() : objects_(64), next_(most_threads) {
  for (unsigned id = 0; id <= most_threads; ++id) {
    auto thread = std::make_unique<Thread>();
    thread->run = this;
    thread->id = id;
    thread->fiber = id == main_thread ? Fiber::host()
                                      : std::make_unique<Fiber>(&Runner::fiber_entry, thread.get());
    threads_.push_back(std::move(thread));
  }
}

Runner::~Runner() = default;

// Threads.

void Runner::fiber_entry(void* argument) {
  auto& thread = *static_cast<Thread*>(argument);
  for (;;) thread.run->run_thread(thread.id);
}

void Runner::run_thread(unsigned id) {
  Thread& me = *threads_[id];
  me.started = true;
  try {
    unwind_if_over();
    body_->thread(id);
  } catch (const Over&) {
  } catch (const std::exception& error) {
    fail(FailureKind::exception, fmt::format("the thread threw: {}", error.what()));
  } catch (...) {
    fail(FailureKind::exception, "the thread threw");
  }
  end_thread(id);
}

void Runner::end_thread(unsigned id) {
  Thread& me = *threads_[id];
  if (!over_ && !me.held.empty()) {
    fail(FailureKind::lock_kept,
         fmt::format("a thread ends and holds {}", name(objects_[me.held.back().object])));
  }
  if (!over_ && !me.sections.empty()) {
    fail(FailureKind::unbalanced,
         fmt::format("a thread ends inside a section of {}", name(objects_[me.sections.back()])));
  }
  me.done = true;
  --left_;
  // A fiber that has ended is switched to only to begin the next run.
  if (!over_ && left_ != 0) return pass_on();
  current_ = main_thread;
  me.fiber->switch_to(*threads_[main_thread]->fiber);
}

const Outcome& Runner::execute(Scheduler& scheduler,
                               const std::function<std::unique_ptr<Body>()>& make) {
  auto* const outer = lockstep::schedule::listener;
  lockstep::schedule::listener = this;
  scheduler_ = &scheduler;
  // Tags may outlive a runner: no two runs of a thread have one number.
  static thread_local std::uint32_t runs = 0;
  run_ = ++runs;
  objects_used_ = 1;
  lock_order_.clear();
  outcome_.failure.reset();
  outcome_.order.clear();
  outcome_.fingerprint = 0xcbf2'9ce4'8422'2325;
  outcome_.preemptions = 0;
  outcome_.stopped = false;
  outcome_.trace.clear();
  locks_held_ = live_ = steps_ = 0;
  fail_allocation_.reset();
  allocations_told_ = false;
  over_ = false;
  current_ = last_ = main_thread;
  Thread& main = *threads_[main_thread];
  main.reset();
  main.clock.at[main_thread] = 1;

  if (witness_ != nullptr) witness_->begin();
  std::unique_ptr<Body> body;
  try {
    body = make();
    body_ = body.get();
    count_ = left_ = body->threads();
    for (unsigned id = 0; id < count_; ++id) {
      threads_[id]->reset();
      threads_[id]->clock = main.clock;
      threads_[id]->clock.at[id] = 1;
      next_[id] = Step{};
    }
    ++main.clock.at[main_thread];
    pass_on();
    // Back for good, or because the run is over: unwind who is left.
    for (unsigned id = 0; id < count_; ++id) {
      Thread& thread = *threads_[id];
      if (thread.done) continue;
      if (!thread.started) {
        thread.done = true;
        continue;
      }
      current_ = id;
      main.fiber->switch_to(*thread.fiber);
    }
    current_ = main_thread;
    unwind_if_over();
    for (unsigned id = 0; id < count_; ++id) main.clock.join(threads_[id]->clock);
    check_invariant();
    unwind_if_over();
    body->tear_down();
    if (live_ != 0 && !over_) {
      for (std::size_t i = 1; i < objects_used_; ++i) {
        if (objects_[i].alive) {
          die(FailureKind::leak, fmt::format("{} is never freed", objects_[i].name));
        }
      }
    }
  } catch (const Over&) {
  }
  over_ = true;
  body.reset();
  body_ = nullptr;
  lockstep::schedule::listener = outer;
  if (witness_ != nullptr) witness_->end();
  return outcome_;
}

// Steps.

bool Runner::enabled(const Thread& thread, const Step& step) const {
  const Object& object = objects_[step.object];
  switch (step.kind) {
    case StepKind::lock:
      return object.owner == Object::nobody && object.readers == 0;
    case StepKind::lock_shared:
      return object.owner == Object::nobody;
    case StepKind::wait:
      return object.wakes != thread.seen_wakes;
    case StepKind::grace:
      for (unsigned i = 0; i < thread.waits_for.size(); ++i) {
        if (thread.waits_for[i] != 0 && object.section[i] == thread.waits_for[i]) return false;
      }
      return true;
    default:
      return true;
  }
}

void Runner::unwind_if_over() const {
  if (over_ && std::uncaught_exceptions() == 0) throw Over{};
}

void Runner::fail(FailureKind kind, std::string text) noexcept {
  if (over_) return;
  over_ = true;
  outcome_.failure = Failure{.kind = kind, .text = std::move(text), .thread = current_};
  if (tracing_) {
    outcome_.trace.push_back(
        {.thread = current_,
         .text = fmt::format("{}: {}", schedule::name(kind), outcome_.failure->text)});
  }
}

void Runner::die(FailureKind kind, std::string text) {
  fail(kind, std::move(text));
  throw Over{};
}

void Runner::check_invariant() noexcept {
  if (over_ || locks_held_ != 0) return;
  if (const char* broken = body_->broken()) fail(FailureKind::invariant, broken);
}

/// Nobody can go on.
void Runner::blocked() noexcept {
  std::string waits;
  bool sleeps = false;
  for (unsigned id = 0; id < count_; ++id) {
    if (threads_[id]->done) continue;
    const Step& step = next_[id];
    const bool slept_through = step.kind == StepKind::wait && objects_[step.object].wakes != 0;
    sleeps |= slept_through;
    waits += fmt::format("{}{} waits at {}", waits.empty() ? "" : ", ", id, label(step));
  }
  fail(sleeps ? FailureKind::lost_wakeup : FailureKind::deadlock, "nobody can run: " + waits);
}

void Runner::pass_on() {
  check_invariant();
  if (!over_ && ++steps_ > step_limit_) {
    fail(FailureKind::livelock, fmt::format("no end after {} steps", step_limit_));
  }
  unsigned to = main_thread;
  if (!over_) {
    Choice choice{.next = {next_.data(), count_}, .enabled = 0, .current = last_};
    // Those that yield run if nobody else can, in turns.
    unsigned idle = main_thread;
    for (unsigned id = 0; id < count_; ++id) {
      if (threads_[id]->done) choice.ended |= 1u << id;
      if (threads_[id]->done || !enabled(*threads_[id], next_[id])) continue;
      if (next_[id].kind != StepKind::yield) {
        choice.enabled |= 1u << id;
      } else if (idle == main_thread || threads_[id]->last_step < threads_[idle]->last_step) {
        idle = id;
      }
    }
    if (choice.enabled == 0 && idle != main_thread) choice.enabled = 1u << idle;
    if (choice.enabled == 0) {
      blocked();
    } else {
      to = scheduler_->choose(choice);
      if (to == Scheduler::stop) {
        over_ = outcome_.stopped = true;
        to = main_thread;
      } else {
        const bool preempts = choice.preempts(to);
        outcome_.preemptions += preempts ? 1 : 0;
        outcome_.order.push_back(static_cast<std::uint8_t>(to));
        if (witness_ != nullptr) witness_->chose(to);
        for (const std::uint64_t word :
             {std::uint64_t{to}, static_cast<std::uint64_t>(next_[to].kind),
              std::uint64_t{next_[to].object}, std::uint64_t{choice.enabled}}) {
          outcome_.fingerprint = (outcome_.fingerprint ^ word) * 0x100'0000'01b3;
        }
        if (tracing_) {
          outcome_.trace.push_back({.thread = to,
                                    .text = label(next_[to]),
                                    .step = true,
                                    .label = label(next_[to]),
                                    .chosen = to != choice.lazy(),
                                    .preempted = preempts});
        }
        last_ = to;
        threads_[to]->last_step = steps_;
      }
    }
  }
  if (to == current_) return;
  Thread& from = *threads_[current_];
  current_ = to;
  from.fiber->switch_to(*threads_[to]->fiber);
}

void Runner::point_quietly(Step step) noexcept {
  if (over_) return;
  if (alone()) return;
  next_[current_] = step;
  pass_on();
  if (!over_) ++self_thread().clock.at[current_];
}

void Runner::point(Step step) {
  unwind_if_over();
  if (alone()) {
    if (over_ || enabled(self_thread(), step)) return;
    die(FailureKind::deadlock, fmt::format("waits alone at {}", label(step)));
  }
  point_quietly(step);
  unwind_if_over();
}

// Names.

Runner::Object& Runner::object(const Tag& tag) {
  if (tag.run == run_) return objects_[tag.index];
  if (objects_used_ == objects_.size()) objects_.resize(objects_.size() * 2);
  tag.run = run_;
  tag.index = static_cast<std::uint32_t>(objects_used_++);
  objects_[tag.index].reset(tag);
  return objects_[tag.index];
}

std::string Runner::name(const Object& object) const {
  return object.number == Tag::unnumbered ? std::string(object.name)
                                          : fmt::format("{}.{}", object.name, object.number);
}

std::string Runner::label(const Step& step) const {
  constexpr std::string_view words[] = {
      "start", "lock",  "lock-shared", "try-lock", "unlock",  "load", "store", "update", "allocate",
      "enter", "leave", "synchronize", "grace",    "prepare", "wait", "wake",  "yield"};
  const auto word = words[static_cast<unsigned>(step.kind)];
  return step.object == 0 ? std::string(word)
                          : fmt::format("{} {}", word, name(objects_[step.object]));
}

void Runner::note(std::string text) {
  if (tracing_ && !over_) {
    outcome_.trace.push_back({.thread = current_, .text = std::move(text)});
  }
}

}  // namespace lockstep::props::schedule
