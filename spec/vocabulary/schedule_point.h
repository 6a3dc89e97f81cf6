// SPDX-License-Identifier: GPL-2.0-or-later
/// Places where another thread may run, as code under test announces them.
///
/// Whoever controls schedules (props/schedule) is the Listener of the running
/// thread; without one nothing happens. Code announces before it acts: what it
/// does between two announcements is one step. A store is seen by the next step
/// of every thread: reordering of stores (TSO) is not modelled, but accesses
/// that nothing orders are data races and reported as such.
#pragma once

#include <atomic>
#include <cstdint>

namespace lockstep::schedule {

/// What an object is called in reports, and where the listener keeps what it
/// knows of it. Embedded in the object; a copy is another object.
struct Tag {
  constexpr explicit Tag(const char* what, std::uint32_t which = unnumbered)
      : name(what), number(which) {}
  constexpr Tag(const Tag& other) : name(other.name), number(other.number) {}
  constexpr Tag& operator=(const Tag&) { return *this; }

  static constexpr std::uint32_t unnumbered = ~0u;
  const char* name;      ///< static storage
  std::uint32_t number;  ///< tells objects of one name apart
  // The listener's own.
  mutable std::uint32_t run = 0;
  mutable std::uint32_t index = 0;
};

/// A mutex may sleep until it is free; a spinlock makes its holder atomic.
enum class LockKind : std::uint8_t { mutex, spin };
enum class Hold : std::uint8_t { exclusive, shared };
enum class Access : std::uint8_t { read, write, update };
/// GFP_KERNEL may sleep and reclaim, GFP_ATOMIC may not.
enum class Allocation : std::uint8_t { may_sleep, atomic };
/// Readers of RCU are atomic, those of SRCU may sleep.
enum class Readers : std::uint8_t { rcu, srcu };

/// Functions that may not throw are those that destructors call; the others
/// throw to unwind the thread when the run is over.
class Listener {
 public:
  virtual ~Listener() = default;

  /// Wait until the lock can be held, and hold it.
  virtual void lock(const Tag& lock, LockKind kind, Hold hold) = 0;
  /// Hold it if nobody is in the way; whether it is held now.
  virtual bool try_lock(const Tag& lock, LockKind kind, Hold hold) = 0;
  virtual void unlock(const Tag& lock, Hold hold) noexcept = 0;

  /// An atomic access, or READ_ONCE() and WRITE_ONCE() (relaxed), comes next.
  virtual void atomic(const Tag& object, Access access, std::memory_order order) = 0;
  /// A plain access comes next. No other thread runs here: what nothing orders
  /// is a data race, whichever order was taken.
  virtual void plain(const Tag& object, Access access) = 0;
  /// What this thread accesses next, code at this address does: reports of races
  /// name both. Who does not know need not say.
  virtual void code(std::uint64_t) {}

  /// Memory is asked for. False: there is none.
  virtual bool allocate(const Tag& what, Allocation how) = 0;
  /// The object lives from here on, and must be freed before the end.
  virtual void born(const Tag& object) = 0;
  /// The object is used: it must live.
  virtual void used(const Tag& object) = 0;
  /// Freed. Its memory stays until the run is over.
  virtual void freed(const Tag& object) noexcept = 0;

  /// A section of readers begins and ends; they may be nested.
  virtual void enter(const Tag& domain, Readers kind) = 0;
  virtual void leave(const Tag& domain, Readers kind) noexcept = 0;
  /// Wait for every section that has begun.
  virtual void synchronize(const Tag& domain) = 0;

  /// From here on a wake() is not lost. KVM: prepare_to_wait().
  virtual void prepare_wait(const Tag& event) = 0;
  /// Sleep until a wake() after prepare_wait().
  virtual void wait(const Tag& event) = 0;
  /// As wait(), of a CPU that spins: it may be atomic.
  virtual void spin(const Tag& event) = 0;
  virtual void wake(const Tag& event) = 0;

  /// A counter that must never be negative has this value now.
  virtual void count(const Tag& counter, std::int64_t now) = 0;
  /// Nothing to do until somebody else has run.
  virtual void yield() = 0;
  /// The run has ended, and threads are only to come back: what is announced from now
  /// on means nothing.
  virtual bool over() const = 0;
  /// WARN_ON() was hit.
  virtual void warn(const char* what) = 0;
  /// A null pointer would be followed.
  virtual void null_used(const char* what) = 0;
};

/// Of this thread of the host; null while nobody controls schedules.
inline constinit thread_local Listener* listener = nullptr;

/// An atomic access comes next, if anybody wants to know.
inline void announce(const Tag& object, Access access,
                     std::memory_order order = std::memory_order_seq_cst) {
  if (listener != nullptr) [[unlikely]]
    listener->atomic(object, access, order);
}

}  // namespace lockstep::schedule
