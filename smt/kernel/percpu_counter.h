// SPDX-License-Identifier: GPL-2.0-or-later
/// What a per-CPU counter of the kernel may say. impl/ counts with one word; the
/// formulas stand here for seed 000. Nothing compares them with lib/ of a kernel
/// but the reader.
#pragma once

#include "spec/vocabulary/word.h"

namespace lockstep::smt::kernel {

/// One CPU's share of a per-CPU counter after `amount` was added, and what moved
/// to the common count. Linux: percpu_counter_add_batch().
template <typename I>
struct CounterStep {
  I local;
  I moved;
};
template <typename I>
constexpr CounterStep<I> add_to_counter(I local, I amount, I batch) {
  const I sum = local + amount;
  const auto spills = sum >= batch || I(0) - sum >= batch;
  return {ite(spills, I(0), sum), ite(spills, sum, I(0))};
}

/// What a reader takes for the count. Linux: percpu_counter_read_positive().
template <typename I>
constexpr I read_positive(I common) {
  return ite(common < I(0), I(0), common);
}

/// The same of the exact sum of all CPUs. Linux: percpu_counter_sum_positive().
template <typename I>
constexpr I sum_positive(I sum) {
  return ite(sum < I(0), I(0), sum);
}

}  // namespace lockstep::smt::kernel
