// SPDX-License-Identifier: GPL-2.0-or-later
/// Seed 000: a shrinker that empties the caches of vCPUs, and its counter. Two
/// vCPUs with a cache each; counts are integers without bounds.
#include <string>

#include "impl/cache_capacity.h"
#include "smt/theorems/protocol_state.h"
#include "smt/theorems/theorems.h"

namespace lockstep::smt {
namespace {

/// Pages that one fault may take: PT64_ROOT_MAX_LEVEL.
constexpr int needed_at_most = 5;

/// What the patch of the seed does, and what its review asks for.
struct Design {
  bool lock_spans_fault = true;  ///< v4; v3 locks topup alone
  bool alloc_counts = true;      ///< v3's `if (!cache_lock)` counts nothing
};

struct Shrinker {
  Protocol protocol;
  Bool stocked = true;  ///< nobody took from an empty cache
  Bool counted = true;  ///< the counter is right
};

struct Vcpu {
  std::string name;
  Int objects, needed;
};

void add_vcpu(Protocol& protocol, const Vcpu& vcpu, const Int& counter, const Bool& warned,
              const Design& design) {
  const Int filled = Int::variable(vcpu.name + ".filled");
  const auto of = [&](const char* what) { return vcpu.name + "." + what; };
  const Bool idle = vcpu.needed == 0;
  const Bool more = filled >= vcpu.objects;
  // As many as ObjectCache::topup() would leave.
  const Bool enough = !impl::needs_topup<Int>(filled, needed_at_most);
  step(protocol, vcpu.name + " tops its cache up", idle && more && enough)
      .set(of("objects"), filled)
      .set("counter", counter + filled - vcpu.objects)
      .set(of("needed"), Int(needed_at_most));
  // What was allocated before the failure stays, and is counted.
  step(protocol, vcpu.name + " fails to top up", idle && more)
      .set(of("objects"), filled)
      .set("counter", counter + filled - vcpu.objects);
  const Bool empty = vcpu.objects == 0;
  step(protocol, vcpu.name + " takes a page", vcpu.needed > 0)
      .set(of("objects"), ite(empty, Int(0), vcpu.objects - 1))
      .set("counter", ite(empty || !design.alloc_counts, counter, counter - 1))
      .set(of("needed"), vcpu.needed - 1)
      .set("warned", warned || empty);
  step(protocol, vcpu.name + " ends its fault", vcpu.needed > 0).set(of("needed"), Int(0));
}

Shrinker shrinker(const Design& design) {
  Shrinker result;
  Protocol& protocol = result.protocol;
  const Int counter = state_int(protocol, "counter");
  const Int freed = state_int(protocol, "freed");
  const Bool warned = state_bool(protocol, "warned");
  std::vector<Vcpu> vcpus;
  for (const char* name : {"v0", "v1"}) {
    vcpus.push_back({name, state_int(protocol, std::string(name) + ".objects"),
                     state_int(protocol, std::string(name) + ".needed")});
  }
  protocol.initial = counter == 0 && freed == 0 && !warned;
  Int sum = 0;
  Bool bounds = counter >= 0 && freed >= 0;
  Bool stocked = true;
  for (const auto& vcpu : vcpus) {
    protocol.initial = protocol.initial && vcpu.objects == 0 && vcpu.needed == 0;
    add_vcpu(protocol, vcpu, counter, warned, design);
    // The lock is held while the vCPU still needs objects; the shrinker tries it.
    const Bool locked = design.lock_spans_fault ? vcpu.needed > 0 : Bool(false);
    step(protocol, "the shrinker empties the cache of " + vcpu.name, !locked)
        .set(vcpu.name + ".objects", Int(0))
        .set("freed", freed + vcpu.objects);
    sum = sum + vcpu.objects;
    bounds = bounds && vcpu.objects >= 0 && vcpu.needed >= 0 && vcpu.needed <= needed_at_most;
    stocked = stocked && vcpu.objects >= vcpu.needed;
  }
  step(protocol, "the shrinker counts what it freed", freed > 0)
      .set("counter", counter - freed)
      .set("freed", Int(0));
  // A page that is freed and not yet counted is counted still.
  const Bool exact = counter == sum + freed;
  result.stocked = !warned;
  result.counted = exact && counter >= 0;
  protocol.invariant = !warned && exact && bounds && stocked;
  protocol.depth = 6;
  return result;
}

/// v3 locks topup alone, and its alloc neither locks nor counts.
Shrinker design_of(Side side) {
  const bool mended = side == Side::true_rule;
  return shrinker({.lock_spans_fault = mended, .alloc_counts = mended});
}
Protocol shrinker_lock(Side side) {
  auto shrinker = design_of(side);
  shrinker.protocol.property = shrinker.stocked;
  return shrinker.protocol;
}
Protocol shrinker_counter(Side side) {
  auto shrinker = design_of(side);
  shrinker.protocol.property = shrinker.counted;
  return shrinker.protocol;
}

/// A vCPU's cache, which has a lock and is counted, and the VM's cache for splits,
/// whose users hold slots_lock: it has no lock, and nobody counts or empties it.
Protocol split_cache(Side side) {
  Protocol protocol;
  const Int counter = state_int(protocol, "counter");
  const Bool null_locked = state_bool(protocol, "null-pointer-locked");
  protocol.initial = counter == 0 && !null_locked;
  Bool bounds = true;
  Int counted = 0;
  const struct {
    const char* name;
    const char* fills;
    const char* takes;
    bool has_lock;
  } caches[] = {{"vcpu", "v0 fills its cache", "v0 takes a page", true},
                {"split", "a split fills the VM's cache", "a split takes a page", false}};
  for (const auto& cache : caches) {
    const std::string name = cache.name;
    const Int objects = state_int(protocol, name + ".objects");
    const Int needed = state_int(protocol, name + ".needed");
    const Int filled = Int::variable(name + ".filled");
    protocol.initial = protocol.initial && objects == 0 && needed == 0;
    const Bool enough = !impl::needs_topup<Int>(filled, needed_at_most);
    step(protocol, cache.fills, needed == 0 && filled >= objects && enough)
        .set(name + ".objects", filled)
        .set(name + ".needed", Int(needed_at_most))
        .set("counter", cache.has_lock ? counter + filled - objects : counter);
    // `cache_lock` of kvm_mmu_sp_memory_cache_alloc(): v3 asks the wrong way round.
    const bool locks = side == Side::true_rule ? cache.has_lock : !cache.has_lock;
    step(protocol, cache.takes, needed > 0 && objects > 0)
        .set(name + ".objects", objects - 1)
        .set(name + ".needed", needed - 1)
        .set("counter", locks ? counter - 1 : counter)
        .set("null-pointer-locked", null_locked || (locks && !cache.has_lock));
    step(protocol, std::string(cache.takes) + " no more", needed > 0).set(name + ".needed", Int(0));
    bounds = bounds && objects >= needed && needed >= 0 && needed <= needed_at_most;
    if (cache.has_lock) counted = counted + objects;
  }
  protocol.property = !null_locked;
  protocol.invariant = !null_locked && bounds && counter == counted;
  protocol.depth = 6;
  return protocol;
}

}  // namespace

std::vector<Theorem> cache_protocol_theorems() {
  const std::string posted = "no kernel: the posted patch; two vCPUs, unbounded counts";
  return {
      {"shrinker-lock-spans-fault", "protocols",
       "with the cache's lock held from topup to the end of the fault no vCPU takes from an empty "
       "cache, whatever the shrinker does",
       "seed 000, review of v3; mmu_topup_memory_caches()", posted,
       "as posted in v3: topup locks, alloc neither locks nor counts", shrinker_lock, nullptr},
      {"shrinker-counter-exact", "protocols",
       "the counter is the sum of all caches plus what is freed and not yet counted, and never "
       "negative",
       "seed 000, review of v3; kvm_mmu_sp_memory_cache_alloc()", posted,
       "as posted in v3: topup locks, alloc neither locks nor counts", shrinker_counter, nullptr},
      {"split-cache-has-no-lock", "protocols",
       "where a cache has no lock nobody locks it: the VM's cache for splits, which stands outside "
       "the counter as the caches that have locks stand in it",
       "seed 000, review of v3; kvm_mmu_sp_memory_cache_alloc(), shadow_mmu_get_sp_for_split()",
       "no kernel: the posted patch; one vCPU, one cache for splits under slots_lock",
       "as posted in v3: takes a lock where there is none", split_cache, nullptr},
  };
}

}  // namespace lockstep::smt
