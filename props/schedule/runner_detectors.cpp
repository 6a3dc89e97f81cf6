// SPDX-License-Identifier: GPL-2.0-or-later
/// Runner: what threads announce, and what is wrong about it.
#include <fmt/format.h>

#include <algorithm>

#include "props/schedule/runner.h"
#include "props/schedule/runner_state.h"

namespace lockstep::props::schedule {

// Locks.

void Runner::must_not_be_atomic(const char* what) {
  const Thread& me = self_thread();
  if (me.atomic == 0) return;
  std::string inside;
  for (const Held& held : me.held) {
    if (held.kind == LockKind::spin) inside = name(objects_[held.object]);
  }
  if (inside.empty()) inside = name(objects_[me.sections.back()]);
  die(FailureKind::sleep_in_atomic, fmt::format("{} may sleep, inside {}", what, inside));
}

bool Runner::reaches(std::uint32_t from, std::uint32_t to) const {
  return std::any_of(lock_order_.begin(), lock_order_.end(), [&](const Edge& edge) {
    return edge.from == from && (edge.to == to || reaches(edge.to, to));
  });
}

/// Edges from what is held to what is taken; a way back is an inversion. The
/// graph has no cycle before, so that the search ends.
void Runner::order_locks(std::uint32_t taken) {
  for (const Held& held : self_thread().held) {
    const auto known = [&](const Edge& edge) {
      return edge.from == held.object && edge.to == taken;
    };
    if (std::any_of(lock_order_.begin(), lock_order_.end(), known)) continue;
    if (reaches(taken, held.object)) {
      die(FailureKind::lock_order,
          fmt::format("{} is taken inside {}, elsewhere the other way round", name(objects_[taken]),
                      name(objects_[held.object])));
    }
    lock_order_.push_back({held.object, taken});
  }
}

void Runner::acquire(const Tag& tag, LockKind kind, Hold hold) {
  Object& lock = object(tag);
  Thread& me = self_thread();
  if (hold == Hold::exclusive) {
    lock.owner = current_;
  } else {
    lock.readers |= 1u << current_;
  }
  me.clock.join(lock.released);
  me.held.push_back({tag.index, kind, hold});
  me.atomic += kind == LockKind::spin ? 1 : 0;
  ++locks_held_;
}

void Runner::lock(const Tag& tag, LockKind kind, Hold hold) {
  unwind_if_over();
  if (over_) return;
  {
    Object& lock = object(tag);
    seen_alive(lock);
    if (kind == LockKind::mutex) must_not_be_atomic("a mutex");
    if (lock.owner == current_ || (lock.readers >> current_ & 1) != 0) {
      die(FailureKind::deadlock, fmt::format("{} is taken by its holder", name(lock)));
    }
    order_locks(tag.index);
  }
  point({hold == Hold::exclusive ? StepKind::lock : StepKind::lock_shared, tag.index});
  if (!over_) acquire(tag, kind, hold);
}

bool Runner::try_lock(const Tag& tag, LockKind kind, Hold hold) {
  unwind_if_over();
  if (over_) return true;
  seen_alive(object(tag));
  point({StepKind::try_lock, tag.index});
  if (over_) return true;
  const Object& lock = object(tag);
  const bool free = lock.owner == Object::nobody && (hold == Hold::shared || lock.readers == 0);
  if (free) acquire(tag, kind, hold);
  if (tracing_) note(free ? "  got it" : "  busy");
  return free;
}

void Runner::unlock(const Tag& tag, Hold hold) noexcept {
  if (over_) return;
  point_quietly({StepKind::unlock, (object(tag), tag.index)});
  if (over_) return;
  Object& lock = object(tag);
  Thread& me = self_thread();
  const auto held = std::find_if(me.held.rbegin(), me.held.rend(), [&](const Held& one) {
    return one.object == tag.index && one.hold == hold;
  });
  if (held == me.held.rend()) {
    const bool foreign = lock.owner != Object::nobody || lock.readers != 0;
    fail(foreign ? FailureKind::foreign_unlock : FailureKind::double_unlock,
         fmt::format("{} is released by who does not hold it{}", name(lock),
                     foreign ? ", while somebody does" : ""));
    return;
  }
  if (hold == Hold::exclusive) {
    lock.owner = Object::nobody;
    lock.released = me.clock;
  } else {
    lock.readers &= ~(1u << current_);
    lock.released.join(me.clock);
  }
  me.atomic -= held->kind == LockKind::spin ? 1 : 0;
  me.held.erase(std::next(held).base());
  --locks_held_;
  ++me.clock.at[current_];
  check_invariant();
}

// Memory.

/// Somebody did `theirs` to the object, and nothing orders it before this.
void Runner::race(const Object& object, const Clock& before, std::string_view mine,
                  std::string_view theirs) {
  const Clock& mine_so_far = self_thread().clock;
  if (mine_so_far.behind(before) == ~0u) return;
  const auto index = static_cast<std::size_t>(&object - objects_.data());
  if (!name_code_ || index >= codes_.size()) {
    die(FailureKind::data_race, fmt::format("nothing orders a {} of {} and a {} by another thread",
                                            mine, name(object), theirs));
  }
  const Codes& codes = codes_[index];
  const bool written = theirs.find("write") != theirs.npos;
  const std::string here = name_code_(code_);
  // One race by intent says nothing of the other threads'.
  for (unsigned other = 0; other < before.at.size(); ++other) {
    if (before.at[other] <= mine_so_far.at[other]) continue;
    const std::string there = name_code_(written ? codes.written[other] : codes.read[other]);
    if (known_races_ && known_races_(here, there)) continue;
    die(FailureKind::data_race,
        fmt::format("nothing orders the {} of {} by {} and the {} by {} of another thread", mine,
                    name(object), here, theirs, there));
  }
}

void Runner::remember_code(std::uint32_t object, Access access) {
  if (!name_code_) return;
  if (codes_.size() <= object) codes_.resize(object + 1);
  if (access != Access::write) codes_[object].read[current_] = code_;
  if (access != Access::read) codes_[object].written[current_] = code_;
}

void Runner::seen_alive(const Object& object) {
  if (object.dead) {
    die(FailureKind::use_after_free, fmt::format("{} is used when freed", name(object)));
  }
}

void Runner::plain(const Tag& tag, Access access) {
  unwind_if_over();
  if (over_) return;
  Object& it = object(tag);
  seen_alive(it);
  Thread& me = self_thread();
  if (access != Access::write) {
    race(it, it.writes, "read", "write");
    if (races_ == Races::any_plain) race(it, it.marked_writes, "read", "marked write");
    it.reads.at[current_] = me.clock.at[current_];
  }
  if (access != Access::read) {
    race(it, it.writes, "write", "write");
    race(it, it.reads, "write", "read");
    if (races_ == Races::any_plain) {
      race(it, it.marked_writes, "write", "marked write");
      race(it, it.marked_reads, "write", "marked read");
    }
    it.writes.at[current_] = me.clock.at[current_];
  }
  remember_code(tag.index, access);
}

void Runner::atomic(const Tag& tag, Access access, std::memory_order order) {
  unwind_if_over();
  if (over_) return;
  seen_alive(object(tag));
  const StepKind kind = access == Access::read    ? StepKind::load
                        : access == Access::write ? StepKind::store
                                                  : StepKind::update;
  point({kind, tag.index});
  if (over_) return;
  Object& it = object(tag);
  seen_alive(it);
  Thread& me = self_thread();
  const bool acquires = order == std::memory_order_acquire || order == std::memory_order_consume ||
                        order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
  const bool releases = order == std::memory_order_release || order == std::memory_order_acq_rel ||
                        order == std::memory_order_seq_cst;
  if (access != Access::write) {
    if (races_ == Races::any_plain) race(it, it.writes, "marked read", "write");
    it.marked_reads.at[current_] = me.clock.at[current_];
    if (acquires) me.clock.join(it.released);
  }
  if (access != Access::read) {
    if (races_ == Races::any_plain) {
      race(it, it.writes, "marked write", "write");
      race(it, it.reads, "marked write", "read");
    }
    it.marked_writes.at[current_] = me.clock.at[current_];
    // An update goes on with the release that it found; a store ends it.
    if (access == Access::write) it.released = {};
    if (releases) it.released.join(me.clock);
  }
  if (releases) ++me.clock.at[current_];
}

bool Runner::allocate(const Tag& tag, Allocation how) {
  unwind_if_over();
  if (over_) return false;
  if (how == Allocation::may_sleep) must_not_be_atomic("an allocation");
  object(tag);
  object(memory_);
  // Nobody can tell who allocates first, unless one of them fails.
  point({StepKind::allocate, allocations_told_ || fail_allocation_ ? memory_.index : 0});
  if (over_) return false;
  if (!fail_allocation_) return true;
  if ((*fail_allocation_)-- != 0) return true;
  fail_allocation_.reset();
  note("  no memory");
  return false;
}

void Runner::fail_allocation(std::uint64_t n) {
  unwind_if_over();
  if (over_) return;
  object(memory_);
  if (allocations_told_) point({StepKind::update, memory_.index});
  if (!over_) fail_allocation_ = n;
}

void Runner::born(const Tag& tag) {
  unwind_if_over();
  if (over_) return;
  Object& it = object(tag);
  it.alive = true;
  it.writes.at[current_] = self_thread().clock.at[current_];
  ++live_;
}

void Runner::used(const Tag& tag) {
  unwind_if_over();
  if (over_) return;
  Object& it = object(tag);
  seen_alive(it);
  const Thread& me = self_thread();
  if (me.clock.behind(it.writes) != ~0u) race(it, it.writes, "use", "birth");
  it.reads.at[current_] = me.clock.at[current_];
}

void Runner::freed(const Tag& tag) noexcept {
  if (over_) return;
  Object& it = object(tag);
  if (it.dead) return fail(FailureKind::double_free, fmt::format("{} is freed again", name(it)));
  if (self_thread().clock.behind(it.reads) != ~0u) {
    return fail(FailureKind::use_after_free,
                fmt::format("{} is freed, and nothing orders that after a use", name(it)));
  }
  note(fmt::format("  frees {}", name(it)));
  it.dead = true;
  if (it.alive) --live_;
  it.alive = false;
}

// Readers.

void Runner::enter(const Tag& tag, Readers kind) {
  unwind_if_over();
  if (over_) return;
  seen_alive(object(tag));
  point({StepKind::enter, tag.index});
  if (over_) return;
  Object& domain = object(tag);
  Thread& me = self_thread();
  if (domain.section[current_] == 0) domain.section[current_] = ++domain.sections;
  me.sections.push_back(tag.index);
  me.atomic += kind == Readers::rcu ? 1 : 0;
}

void Runner::leave(const Tag& tag, Readers kind) noexcept {
  if (over_) return;
  point_quietly({StepKind::leave, (object(tag), tag.index)});
  if (over_) return;
  Object& domain = object(tag);
  Thread& me = self_thread();
  const auto open = std::find(me.sections.rbegin(), me.sections.rend(), tag.index);
  if (open == me.sections.rend()) {
    return fail(FailureKind::unbalanced,
                fmt::format("a section of {} is left that was not entered", name(domain)));
  }
  me.sections.erase(std::next(open).base());
  me.atomic -= kind == Readers::rcu ? 1 : 0;
  const bool nested =
      std::find(me.sections.begin(), me.sections.end(), tag.index) != me.sections.end();
  if (!nested) domain.section[current_] = 0;
  domain.released.join(me.clock);
  ++me.clock.at[current_];
}

void Runner::synchronize(const Tag& tag) {
  unwind_if_over();
  if (over_) return;
  seen_alive(object(tag));
  must_not_be_atomic("synchronizing");
  if (object(tag).section[current_] != 0) {
    die(FailureKind::deadlock,
        fmt::format("waits for readers of {} inside one of its sections", name(object(tag))));
  }
  point({StepKind::synchronize, tag.index});
  if (over_) return;
  self_thread().waits_for = object(tag).section;
  point({StepKind::grace, tag.index});
  if (!over_) self_thread().clock.join(object(tag).released);
}

// The rest.

void Runner::prepare_wait(const Tag& tag) {
  unwind_if_over();
  if (over_) return;
  object(tag);
  point({StepKind::prepare, tag.index});
  if (!over_) self_thread().seen_wakes = object(tag).wakes;
}

void Runner::wait(const Tag& tag) {
  unwind_if_over();
  if (over_) return;
  must_not_be_atomic("waiting");
  spin(tag);
}

void Runner::spin(const Tag& tag) {
  unwind_if_over();
  if (over_) return;
  object(tag);
  point({StepKind::wait, tag.index});
  if (!over_) self_thread().clock.join(object(tag).released);
}

void Runner::wake(const Tag& tag) {
  unwind_if_over();
  if (over_) return;
  object(tag);
  point({StepKind::wake, tag.index});
  if (over_) return;
  Object& event = object(tag);
  ++event.wakes;
  event.released.join(self_thread().clock);
  ++self_thread().clock.at[current_];
}

void Runner::count(const Tag& tag, std::int64_t now) {
  unwind_if_over();
  if (over_) return;
  const Object& counter = object(tag);
  if (tracing_) note(fmt::format("  {} = {}", name(counter), now));
  if (now < 0) die(FailureKind::negative_counter, fmt::format("{} is negative", name(counter)));
}

void Runner::yield() { point({StepKind::yield, 0}); }

void Runner::report(FailureKind kind, std::string text) {
  unwind_if_over();
  if (!over_) die(kind, std::move(text));
}

void Runner::warn(const char* what) {
  unwind_if_over();
  if (!over_) die(FailureKind::warning, what);
}

void Runner::null_used(const char* what) {
  unwind_if_over();
  if (!over_) die(FailureKind::null_dereference, fmt::format("{} is null", what));
}

}  // namespace lockstep::props::schedule
