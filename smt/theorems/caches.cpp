// SPDX-License-Identifier: GPL-2.0-or-later
/// Capacity of the split caches (seed 003) and bounds of per-CPU counters (seed
/// 000).
#include <array>

#include "impl/cache_capacity.h"
#include "smt/kernel/percpu_counter.h"
#include "smt/theorems/theorems.h"

namespace lockstep::smt {
namespace {

/// Bytes of KVM's pte_list_desc: two words and 14 pointers. impl/ has 64.
constexpr unsigned descriptor_bytes = 8 + 8 + impl::descriptor_entries * 8;

template <typename P>
struct Caches {
  using Word = typename P::Word;
  using Bool = typename P::Bool;
  using Formula = FormulaOf<P>;
  using Int = typename P::Int;

  static Formula capacity(Side side) {
    const Word spare = side == Side::broken_rule ? Word(impl::split_minimum) : P::word("spare");
    const Word minimum = P::word("minimum");
    const Word full = impl::cache_capacity(minimum, spare);
    const Word doubled = minimum * 2;
    const Word saved = (doubled - full) * descriptor_bytes;
    const Bool posted = minimum == impl::split_minimum && full >= minimum;
    const Bool of_seed = side == Side::broken_rule || spare == impl::default_capacity;
    return {
        .precondition = posted && of_seed,
        .claim = full == 553 && doubled == 1026 && saved == 60'544 && Word(descriptor_bytes) == 128,
        .shown = {{"capacity", full}, {"bytes saved", saved}}};
  }

  /// A full cache serves one split, and is filled again only after the spare ones
  /// are gone; without spare ones after every single object.
  static Formula drops(Side side) {
    const Word spare = P::word("spare");
    const Word minimum = P::word("minimum");
    const Word taken = P::word("taken");
    const Word full = impl::cache_capacity(minimum, spare);
    const Word between = full - minimum + 1;
    const Word left = full - taken;
    const Bool asks = impl::needs_topup(left, minimum);
    const Word bound = side == Side::broken_rule ? between - 1 : between;
    return {.precondition = minimum >= 1 && minimum < 4096 && spare < 4096 && taken <= full,
            .claim = asks == (taken >= bound) && (spare == 0) == (between == 1),
            .shown = {{"objects between topups", between}, {"asks for more", asks}}};
  }

  /// A list of SPTEs as impl/ keeps it: one in the head, or `behind` full
  /// descriptors and a first one. Adding keeps 14 SPTEs in each but the first, and
  /// has none for a single SPTE.
  static Formula descriptors(Side side) {
    const Bool chained = P::boolean("chained");
    const Word behind = P::word("behind"), in_first = P::word("in-first");
    const Word each = impl::descriptor_entries;
    Bool takes = impl::takes_descriptor(chained, in_first);
    if (side == Side::broken_rule) takes = in_first == each;
    const Word entries = ite(chained, in_first + behind * each, 1) + 1;
    const Word needed = ite(chained, behind + 1, 0) + ite(takes, Word(1), 0);
    const Bool of_list = ite(chained,
                             in_first >= 1 && in_first <= each && behind < (1ull << 24) &&
                                 implies(behind == 0, in_first >= 2),
                             behind == 0 && in_first == 1);
    return {.precondition = of_list,
            .claim = needed >= 1 && entries <= needed * each && entries > (needed - 1) * each,
            .shown = {{"SPTEs then", entries}, {"descriptors then", needed}}};
  }

  static constexpr std::size_t cpus = 4;

  struct Counter {
    Int common = P::integer("common");
    Int batch = P::integer("batch");
    std::array<Int, cpus> local = {P::integer("cpu0"), P::integer("cpu1"), P::integer("cpu2"),
                                   P::integer("cpu3")};

    /// What percpu_counter_add() keeps: every share is below the batch.
    Bool legal() const {
      Bool all = batch >= 1;
      for (const auto& share : local) all = all && share < batch && Int(0) - share < batch;
      return all;
    }
    Int sum() const {
      Int all = common;
      for (const auto& share : local) all = all + share;
      return all;
    }
  };

  /// Adding keeps the sum exact and the share below the batch.
  static Formula add(Side side) {
    const Counter counter;
    const Int amount = P::integer("amount");
    auto step = kernel::add_to_counter(counter.local[0], amount, counter.batch);
    // Reading the share before and after the spill, as a preempted task would.
    if (side == Side::broken_rule) step.moved = ite(step.moved == 0, Int(0), counter.local[0]);
    const Int before = counter.sum();
    const Int after = before - counter.local[0] + step.local + step.moved;
    return {.precondition = counter.legal(),
            .claim = after == before + amount && step.local < counter.batch &&
                     Int(0) - step.local < counter.batch,
            .shown = {{"sum before", before}, {"sum after", after}}};
  }

  /// The common count is off by less than batch for each CPU.
  static Formula deviation(Side side) {
    const Counter counter;
    const Int off = counter.sum() - counter.common;
    Int bound = 0;
    for (std::size_t i = 0; i < cpus; ++i) bound = bound + counter.batch - 1;
    if (side == Side::broken_rule) bound = counter.batch - 1;
    return {.precondition = counter.legal(),
            .claim = off <= bound && Int(0) - off <= bound,
            .shown = {{"off by", off}, {"bound", bound}}};
  }

  /// A clamped read of 0 hides at most that much of a positive sum. Seed 000 removes
  /// this read, of the used pages.
  static Formula clamped(Side side) {
    const Counter counter;
    Int bound = 0;
    for (std::size_t i = 0; i < cpus; ++i) bound = bound + counter.batch - 1;
    const Int read = kernel::read_positive(counter.common);
    const Int sum = counter.sum();
    const Bool hides_positive = read == 0 && sum > 0;
    // A read of 0 is taken for an empty sum.
    const Bool claim = side == Side::broken_rule ? !hides_positive
                                                 : implies(hides_positive, sum <= bound) &&
                                                       implies(read > 0, sum > Int(0) - bound) &&
                                                       implies(sum > bound, read > 0);
    return {
        .precondition = counter.legal(), .claim = claim, .shown = {{"read", read}, {"sum", sum}}};
  }

  /// What seed 000 posts: 0 is said of an empty sum, and of a negative one, which is
  /// a bug that nobody sees.
  static Formula clamped_sum(Side side) {
    const Counter counter;
    const Int sum = counter.sum();
    const Int read = kernel::sum_positive(sum);
    const Bool hides_negative = read != sum;
    const Bool empty = side == Side::broken_rule ? sum == 0 : sum <= 0;
    return {.precondition = counter.legal(),
            .claim = (read == 0) == empty && hides_negative == (sum < 0),
            .shown = {{"read", read}, {"sum", sum}}};
  }
};

}  // namespace

std::vector<Theorem> cache_theorems() {
  using S = Caches<Symbolic>;
  using C = Caches<Concrete>;
  const std::string counters = "6.1, 6.12, 7.2; four CPUs, any batch, unbounded counts";
  return {
      {"split-cache-capacity", "caches",
       "513 descriptors and 40 to spare are 553 instead of 1026, and save 60,544 bytes",
       "seed 003; topup_split_caches()", "6.1, 6.12, 7.2: 14 pointers a descriptor",
       "spares as many as it needs", FormulaBody{S::capacity, C::capacity}, nullptr},
      {"split-cache-drops", "caches",
       "a cache asks for more after capacity - minimum + 1 objects: with nothing to spare after "
       "each",
       "seed 003; need_topup_split_caches_or_resched()", "6.1, 6.12, 7.2",
       "asks one object earlier", FormulaBody{S::drops, C::drops}, nullptr},
      {"rmap-descriptors", "caches",
       "adding an SPTE to a gfn that has some takes a descriptor exactly where those that are "
       "there "
       "cannot hold it: from the second SPTE on, 14 in each",
       "seed 003; pte_list_add()",
       "6.12, 7.2: 14 a descriptor, all but the first full (6.1 leaves holes); impl: 24 bits count "
       "them",
       "takes none for the second SPTE", FormulaBody{S::descriptors, C::descriptors}, nullptr},
      {"percpu-counter-add", "caches",
       "adding to a per-CPU counter keeps the sum exact and each share below the batch",
       "percpu_counter_add_batch()", counters, "moves the share as it was before",
       FormulaBody{S::add, C::add}, nullptr},
      {"percpu-counter-deviation", "caches",
       "the common count is off the sum by less than a batch for each CPU", "percpu_counter_read()",
       counters, "claims a batch for all CPUs together", FormulaBody{S::deviation, C::deviation},
       nullptr},
      {"percpu-counter-clamped-read", "caches",
       "a clamped read of 0 hides at most the deviation, and a sum above it always reads positive",
       "percpu_counter_read_positive(), which seed 000 removes", counters,
       "takes a read of 0 for an empty sum", FormulaBody{S::clamped, C::clamped}, nullptr},
      {"percpu-counter-clamped-sum", "caches",
       "a clamped sum is 0 exactly where the sum is 0 or negative, and hides it exactly where it "
       "is "
       "negative",
       "seed 000, review; percpu_counter_sum_positive()", counters,
       "takes a clamped sum of 0 for an empty sum", FormulaBody{S::clamped_sum, C::clamped_sum},
       nullptr},
  };
}

}  // namespace lockstep::smt
