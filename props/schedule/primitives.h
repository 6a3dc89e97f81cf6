// SPDX-License-Identifier: GPL-2.0-or-later
/// Locks, atomics, memory and readers that announce every step: what code under
/// controlled schedules is written with.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "spec/vocabulary/schedule_point.h"

namespace lockstep::props::schedule {

using lockstep::schedule::Access;
using lockstep::schedule::Allocation;
using lockstep::schedule::Hold;
using lockstep::schedule::listener;
using lockstep::schedule::LockKind;
using lockstep::schedule::Readers;
using lockstep::schedule::Tag;

/// A mutex or a spinlock; for readers too, as rwlock_t and rw_semaphore are.
template <LockKind kind>
class Lock {
 public:
  explicit Lock(const char* name, std::uint32_t number = Tag::unnumbered) : tag_(name, number) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  void lock() { listener->lock(tag_, kind, Hold::exclusive); }
  bool try_lock() { return listener->try_lock(tag_, kind, Hold::exclusive); }
  void unlock() noexcept { listener->unlock(tag_, Hold::exclusive); }
  void lock_shared() { listener->lock(tag_, kind, Hold::shared); }
  bool try_lock_shared() { return listener->try_lock(tag_, kind, Hold::shared); }
  void unlock_shared() noexcept { listener->unlock(tag_, Hold::shared); }

 private:
  Tag tag_;
};
using Mutex = Lock<LockKind::mutex>;
using SpinLock = Lock<LockKind::spin>;

/// An atomic variable, or one that only READ_ONCE() and WRITE_ONCE() touch.
template <typename T>
class Atomic {
 public:
  explicit Atomic(T value, const char* name, std::uint32_t number = Tag::unnumbered)
      : tag_(name, number), value_(value) {}
  T load(std::memory_order order = std::memory_order_seq_cst) const {
    listener->atomic(tag_, Access::read, order);
    return value_;
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) {
    listener->atomic(tag_, Access::write, order);
    value_ = value;
  }
  T exchange(T value, std::memory_order order = std::memory_order_seq_cst) {
    listener->atomic(tag_, Access::update, order);
    return std::exchange(value_, value);
  }
  T add(T delta, std::memory_order order = std::memory_order_seq_cst) {
    listener->atomic(tag_, Access::update, order);
    return value_ = static_cast<T>(value_ + delta);
  }
  bool compare_exchange(T& expected, T value, std::memory_order order = std::memory_order_seq_cst) {
    listener->atomic(tag_, Access::update, order);
    if (value_ != expected) {
      expected = value_;
      return false;
    }
    value_ = value;
    return true;
  }
  /// For invariants: no step, and no access.
  T peek() const { return value_; }

 private:
  Tag tag_;
  T value_;
};

/// A variable that plain C touches. Reads and writes are no steps, since what
/// nothing orders is reported whichever comes first.
template <typename T>
class Plain {
 public:
  explicit Plain(T value, const char* name, std::uint32_t number = Tag::unnumbered)
      : tag_(name, number), value_(std::move(value)) {}
  /// Of a type that moves nowhere: value-initialized.
  explicit Plain(const char* name, std::uint32_t number = Tag::unnumbered)
      : tag_(name, number), value_() {}
  const T& get() const {
    listener->plain(tag_, Access::read);
    return value_;
  }
  void set(T value) {
    listener->plain(tag_, Access::write);
    value_ = std::move(value);
  }
  /// To change it in place.
  T& change() {
    listener->plain(tag_, Access::update);
    return value_;
  }
  const T& peek() const { return value_; }
  /// What it refers to, whose accesses are announced elsewhere.
  T& referred() { return value_; }

 private:
  Tag tag_;
  T value_;
};

/// percpu_counter, as its exact sum; must not be touched once destroyed.
class Counter {
 public:
  explicit Counter(const char* name) : tag_(name) {}
  void add(std::int64_t delta) {
    listener->atomic(tag_, Access::update, std::memory_order_relaxed);
    sum_ += delta;
    listener->count(tag_, sum_);
  }
  std::int64_t sum() const {
    listener->atomic(tag_, Access::read, std::memory_order_relaxed);
    return sum_;
  }
  void destroy() { listener->freed(tag_); }
  std::int64_t peek() const { return sum_; }

 private:
  Tag tag_;
  std::int64_t sum_ = 0;
};

/// Sections of readers, and who waits for them.
template <Readers kind>
class Domain {
 public:
  explicit Domain(const char* name, std::uint32_t number = Tag::unnumbered) : tag_(name, number) {}
  void lock() { listener->enter(tag_, kind); }
  void unlock() noexcept { listener->leave(tag_, kind); }
  void synchronize() { listener->synchronize(tag_); }

 private:
  Tag tag_;
};
using Rcu = Domain<Readers::rcu>;
using Srcu = Domain<Readers::srcu>;

/// A wait queue.
class WaitQueue {
 public:
  explicit WaitQueue(const char* name) : tag_(name) {}
  void prepare() { listener->prepare_wait(tag_); }
  void sleep() { listener->wait(tag_); }
  void wake() { listener->wake(tag_); }

 private:
  Tag tag_;
};

template <typename T>
struct Node {
  template <typename... Arguments>
  Node(const char* name, std::uint32_t number, Arguments&&... arguments)
      : life(name, number), value(std::forward<Arguments>(arguments)...) {}
  Tag life;
  T value;
};

/// A pointer that checks at each use that what it points to lives.
template <typename T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}
  explicit Ref(Node<T>& node) : node_(&node) {}
  T* operator->() const { return &**this; }
  T& operator*() const {
    if (node_ == nullptr) {
      listener->null_used("a pointer");
    } else {
      listener->used(node_->life);
    }
    return node_->value;
  }
  explicit operator bool() const { return node_ != nullptr; }
  bool operator==(const Ref&) const = default;
  /// For invariants: no check.
  const T& peek() const { return node_->value; }
  Node<T>* node() const { return node_; }

 private:
  Node<T>* node_ = nullptr;
};

/// Where objects live; the memory of freed ones stays until the heap goes.
class Heap {
 public:
  Heap() = default;
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  template <typename T, typename... Arguments>
  Ref<T> make(const char* name, std::uint32_t number, Arguments&&... arguments) {
    auto node = std::make_unique<Node<T>>(name, number, std::forward<Arguments>(arguments)...);
    Node<T>& made = *node;
    memory_.emplace_back(node.release(), [](void* it) { delete static_cast<Node<T>*>(it); });
    listener->born(made.life);
    return Ref<T>(made);
  }
  /// The object's destructor runs when the heap goes.
  template <typename T>
  void free(Ref<T> object) {
    if (object) listener->freed(object.node()->life);
  }

 private:
  std::vector<std::unique_ptr<void, void (*)(void*)>> memory_;
};

}  // namespace lockstep::props::schedule
