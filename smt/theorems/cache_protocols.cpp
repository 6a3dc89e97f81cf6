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
  bool lock_spans_fault = true;  ///< v4; v3 locks topup and alloc apart
  bool alloc_counts = true;      ///< v3's `if (!cache_lock)` counts nothing
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

Protocol shrinker(const Design& design) {
  Protocol protocol;
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
  protocol.property = !warned && exact && counter >= 0;
  protocol.invariant = !warned && exact && bounds && stocked;
  protocol.depth = 6;
  return protocol;
}

Protocol shrinker_lock(Side side) {
  return shrinker({.lock_spans_fault = side == Side::true_rule});
}
Protocol shrinker_counter(Side side) { return shrinker({.alloc_counts = side == Side::true_rule}); }

}  // namespace

std::vector<Theorem> cache_protocol_theorems() {
  return {
      {"shrinker-lock-spans-fault", "protocols",
       "with the cache's lock held from topup to the end of the fault no vCPU takes from an empty "
       "cache, whatever the shrinker does, and the counter is exact",
       "seed 000, v4; mmu_topup_memory_caches()", "as posted; two vCPUs, unbounded counts",
       "as posted in v3: topup and alloc lock apart", shrinker_lock, nullptr},
      {"shrinker-counter-exact", "protocols",
       "the counter is the sum of all caches, and never negative", "seed 000, v3 review",
       "as posted; two vCPUs, unbounded counts",
       "as posted in v3: the inverted check of cache_lock counts nothing", shrinker_counter,
       nullptr},
  };
}

}  // namespace lockstep::smt
