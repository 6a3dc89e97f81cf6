// SPDX-License-Identifier: GPL-2.0-or-later
/// impl's own headers over Relacy's atomics: include this before any of them, in one
/// source file of a test.
///
/// Inside lockstep::impl the name `std` means the namespace below, which differs from
/// the real one by its atomics. Relacy then tries what the C++ memory model allows, a
/// load that sees an older store included, where other tests see what this machine does.
#pragma once

// What impl's headers use, and what must know the real atomics.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <shared_mutex>
#include <span>
#include <sstream>
#include <string_view>
#include <thread>
#include <tl/expected.hpp>
#include <utility>
#include <variant>
#include <vector>

#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"
#include "spec/vocabulary/schedule_point.h"
#include "spec/vocabulary/word.h"
// A line is a number that a thread of the host has for life: as it is.
#include "impl/thread_line.h"
// Flags of pages: no test here is about them.
#include "impl/shared_flag.h"

#include <relacy/relacy.hpp>
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace lockstep::impl::relacy {

/// Set by tests of the tests: every order is relaxed.
inline bool weakened = false;

inline rl::memory_order order(::std::memory_order wanted) {
  if (weakened) return rl::mo_relaxed;
  switch (wanted) {
    case ::std::memory_order_relaxed:
      return rl::mo_relaxed;
    case ::std::memory_order_consume:
    case ::std::memory_order_acquire:
      return rl::mo_acquire;
    case ::std::memory_order_release:
      return rl::mo_release;
    case ::std::memory_order_acq_rel:
      return rl::mo_acq_rel;
    case ::std::memory_order_seq_cst:
      break;
  }
  return rl::mo_seq_cst;
}

/// Operations of std::atomic and std::atomic_ref on one of Relacy's.
template <typename T>
class Operations {
 public:
  explicit Operations(rl::atomic<T>& value) : value_(value) {}
  T load(::std::memory_order o) const { return value_.load(order(o), RL_INFO); }
  void store(T value, ::std::memory_order o) { value_.store(value, order(o), RL_INFO); }
  T exchange(T value, ::std::memory_order o) { return value_(RL_INFO).exchange(value, order(o)); }
  T add(T value, ::std::memory_order o) { return value_(RL_INFO).fetch_add(value, order(o)); }
  T sub(T value, ::std::memory_order o) { return value_(RL_INFO).fetch_sub(value, order(o)); }
  T fetch_or(T value, ::std::memory_order o) { return value_(RL_INFO).fetch_or(value, order(o)); }
  T fetch_and(T value, ::std::memory_order o) { return value_(RL_INFO).fetch_and(value, order(o)); }
  bool exchange_if(T& old, T value, ::std::memory_order o) {
    return value_(RL_INFO).compare_exchange_strong(old, value, order(o));
  }

 private:
  rl::atomic<T>& value_;
};

/// What std::atomic_ref refers to in one execution: made by the test, which must touch
/// each word once before its threads run.
struct Cells {
  static inline Cells* now = nullptr;
  ::std::array<const void*, 8> at{};
  ::std::array<rl::atomic<::std::uint64_t>, 8> cell;
  ::std::size_t used = 0;

  rl::atomic<::std::uint64_t>& find(::std::uint64_t& word) {
    for (::std::size_t i = 0; i < used; ++i) {
      if (at[i] == &word) return cell[i];
    }
    RL_ASSERT(used < at.size());
    at[used] = &word;
    cell[used].store(word, rl::mo_seq_cst, RL_INFO);
    return cell[used++];
  }
};

/// What Relacy counts as an atomic; `bool` goes as an int.
template <typename T>
using Stored = ::std::conditional_t<::std::is_same_v<T, bool>, int, T>;

}  // namespace lockstep::impl::relacy

namespace lockstep::impl::std {

using namespace ::std;
inline constexpr auto seq_cst = ::std::memory_order_seq_cst;

template <typename T>
class atomic {
  using Raw = lockstep::impl::relacy::Stored<T>;
  using Ops = lockstep::impl::relacy::Operations<Raw>;

 public:
  atomic(T value = T{}) : value_(static_cast<Raw>(value)) {}
  T load(::std::memory_order o = seq_cst) const { return static_cast<T>(Ops(value_).load(o)); }
  void store(T value, ::std::memory_order o = seq_cst) { Ops(value_).store(value, o); }
  T exchange(T value, ::std::memory_order o = seq_cst) {
    return static_cast<T>(Ops(value_).exchange(value, o));
  }
  T fetch_add(T value, ::std::memory_order o = seq_cst) { return Ops(value_).add(value, o); }
  T fetch_sub(T value, ::std::memory_order o = seq_cst) { return Ops(value_).sub(value, o); }
  bool compare_exchange_weak(T& old, T value, ::std::memory_order o = seq_cst) {
    Raw seen = static_cast<Raw>(old);
    const bool done = Ops(value_).exchange_if(seen, static_cast<Raw>(value), o);
    old = static_cast<T>(seen);
    return done;
  }
  operator T() const { return load(); }
  T operator=(T value) {
    store(value);
    return value;
  }
  T operator++() { return static_cast<T>(fetch_add(1) + 1); }
  T operator--() { return static_cast<T>(fetch_sub(1) - 1); }

 private:
  mutable rl::atomic<Raw> value_;
};

/// Over memory that nothing else touches: its value moves to a cell of Relacy's.
template <typename T>
class atomic_ref {
  using Ops = lockstep::impl::relacy::Operations<T>;

 public:
  explicit atomic_ref(T& at) : cell_(find(at)) {}
  T load(::std::memory_order o = seq_cst) const { return Ops(cell_).load(o); }
  void store(T value, ::std::memory_order o = seq_cst) { Ops(cell_).store(value, o); }
  T exchange(T value, ::std::memory_order o = seq_cst) { return Ops(cell_).exchange(value, o); }
  T fetch_or(T value, ::std::memory_order o = seq_cst) { return Ops(cell_).fetch_or(value, o); }
  T fetch_and(T value, ::std::memory_order o = seq_cst) { return Ops(cell_).fetch_and(value, o); }
  bool compare_exchange_strong(T& old, T value, ::std::memory_order o = seq_cst) {
    return Ops(cell_).exchange_if(old, value, o);
  }

 private:
  static rl::atomic<T>& find(T& at) { return lockstep::impl::relacy::Cells::now->find(at); }
  rl::atomic<T>& cell_;
};

inline void atomic_thread_fence(::std::memory_order o) {
  rl::atomic_thread_fence(lockstep::impl::relacy::order(o), RL_INFO);
}

namespace this_thread {
inline void yield() { rl::yield(1, RL_INFO); }
}  // namespace this_thread

}  // namespace lockstep::impl::std
