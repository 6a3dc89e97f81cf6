// SPDX-License-Identifier: GPL-2.0-or-later
/// Seeds 001, 002 and 004: obsolete roots, generations of memslots, and write
/// tracking that is enabled late.
#include <string>

#include "impl/mmio_encoding.h"
#include "impl/protocol_steps.h"
#include "smt/theorems/protocol_state.h"
#include "smt/theorems/theorems.h"

namespace lockstep::smt {
namespace {

/// One cached root.
struct Root {
  std::string name;
  Bool held, invalid, generation;
};

/// A vCPU's current root and two earlier ones, of the three that KVM keeps.
Protocol obsolete_roots(Side side) {
  Protocol protocol;
  const Bool generation = state_bool(protocol, "generation");
  const Bool request = state_bool(protocol, "request");
  const Bool lost = state_bool(protocol, "valid-root-dropped");
  std::vector<Root> roots;
  for (const std::string name : {"current", "previous0", "previous1"}) {
    roots.push_back({name, state_bool(protocol, name + ".held"),
                     state_bool(protocol, name + ".invalid"),
                     state_bool(protocol, name + ".generation")});
  }
  const auto obsolete = [&](const Root& root) {
    return root.held && impl::is_obsolete(root.invalid, root.generation, generation);
  };
  protocol.initial = !request && !lost;
  for (const auto& root : roots) protocol.initial = protocol.initial && !root.held;

  // Under mmu_lock: the generation changes, and every vCPU gets the request.
  step(protocol, "all shadow pages become obsolete", true)
      .set("generation", !generation)
      .set("request", true);
  auto& zap = protocol.transitions.back();
  // The pages of before are marked before the next change can make them look new.
  for (const auto& root : roots) zap.set(root.name + ".invalid", root.invalid || root.held);
  for (const auto& root : roots) {
    step(protocol, root.name + " is zapped", root.held && !obsolete(root))
        .set(root.name + ".invalid", true)
        .set("request", true);
    step(protocol, root.name + " is dropped", root.held).set(root.name + ".held", false);
  }
  step(protocol, "the vCPU makes a root", !roots[0].held && !request)
      .set("current.held", true)
      .set("current.invalid", false)
      .set("current.generation", generation);
  step(protocol, "the vCPU loads another CR3", !roots[2].held)
      .set("previous1.held", roots[1].held)
      .set("previous1.invalid", roots[1].invalid)
      .set("previous1.generation", roots[1].generation)
      .set("previous0.held", roots[0].held)
      .set("previous0.invalid", roots[0].invalid)
      .set("previous0.generation", roots[0].generation)
      .set("current.held", false);

  auto& serve = step(protocol, "the vCPU serves the request", request);
  serve.set("request", false);
  Bool dropped_valid = lost;
  for (const auto& root : roots) {
    // As posted, the loop over earlier roots looks at the current one each time.
    const Root& tested = side == Side::broken_rule ? roots[0] : root;
    const Bool drop = obsolete(tested);
    serve.set(root.name + ".held", root.held && !drop);
    dropped_valid = dropped_valid || (root.held && drop && !obsolete(root));
  }
  serve.set("valid-root-dropped", dropped_valid);

  Bool none = true;
  for (const auto& root : roots) none = none && !obsolete(root);
  protocol.property = !lost && (request || none);
  protocol.invariant = protocol.property;
  protocol.depth = 6;
  return protocol;
}

/// A gfn that memslots change, an MMIO entry for it, and a vCPU. The generation is
/// the full word; the entry keeps 19 bits of it.
Protocol generations(Side side) {
  Protocol protocol;
  const impl::MmioLayout<Word> layout;
  const Word mask = impl::generation_mask(layout);
  const Word generation = state_word(protocol, "generation");
  const Bool flux = state_bool(protocol, "swap-under-way");
  const Bool slot = state_bool(protocol, "gfn-has-slot");
  const Bool cached = state_bool(protocol, "mmio-entry");
  const Word made_at = state_word(protocol, "entry-made-at");
  const Bool faults = state_bool(protocol, "vcpu-in-fault");
  const Bool saw_slot = state_bool(protocol, "vcpu-saw-slot");
  const Bool saw_flux = state_bool(protocol, "vcpu-saw-swap");
  protocol.initial = generation < mask && !flux && !cached && !faults;

  // New memslots are visible, with the flag, before readers of the old are gone.
  step(protocol, "new memslots are published", !flux && generation < (1ull << 62))
      .set("swap-under-way", true)
      .set("gfn-has-slot", Bool::variable("new-slot"));
  // After synchronize_srcu(): nobody is left who saw the old ones.
  const Word next = impl::next_generation<Word>(generation, 1);
  const Bool wraps = impl::generation_wraps<Word>(layout, next, 1);
  step(protocol, "the new generation is published", flux && (!faults || saw_flux))
      .set("swap-under-way", false)
      .set("generation", next)
      .set("mmio-entry", cached && !wraps);
  step(protocol, "the vCPU begins a fault", !faults)
      .set("vcpu-in-fault", true)
      .set("vcpu-saw-slot", slot)
      .set("vcpu-saw-swap", flux);
  // Under SRCU: the vCPU's own memslots give slot and generation.
  const Bool caches = !saw_slot && !saw_flux;
  step(protocol, "the vCPU ends its fault", faults)
      .set("vcpu-in-fault", false)
      .set("mmio-entry", cached || caches)
      .set("entry-made-at", ite(caches, generation, made_at));

  const Word entry = impl::encode_mmio<Word>(layout, 0, 0, made_at);
  const Word seen =
      generation | ite(flux && Bool(side == Side::true_rule), Word(impl::update_in_progress), 0);
  const Bool hit = cached && impl::mmio_hit(layout, entry, seen);
  protocol.property = implies(hit, !slot);
  // An entry of this period was made at the generation that its bits say.
  const Bool of_period = (made_at & ~mask) == (generation & ~mask) && made_at <= generation;
  protocol.invariant = protocol.property && generation <= (1ull << 62) &&
                       implies(flux, generation < (1ull << 62)) && implies(cached, of_period) &&
                       implies(cached && made_at == generation, flux || !slot) &&
                       implies(faults && !saw_flux && !flux, saw_slot == slot);
  protocol.depth = 5;
  return protocol;
}

/// Two slots, one of which is created while write tracking is enabled.
Protocol write_tracking(Side side) {
  Protocol protocol;
  const Bool enabled = state_bool(protocol, "enabled");
  const Int owner = state_int(protocol, "slots_arch_lock");  // 1 enables, 2 creates
  const Int enabling = state_int(protocol, "enabling");
  const Int creating = state_int(protocol, "creating");
  const Bool has = state_bool(protocol, "new-slot-has-metadata");
  const Bool old_meta = state_bool(protocol, "slot0.metadata");
  const Bool exists = state_bool(protocol, "slot1.exists");
  const Bool meta = state_bool(protocol, "slot1.metadata");
  protocol.initial = !enabled && owner == 0 && enabling == 0 && creating == 0 && !has &&
                     !old_meta && !exists && !meta;

  step(protocol, "enabling takes slots_arch_lock", owner == 0 && enabling == 0)
      .set("slots_arch_lock", Int(1))
      .set("enabling", Int(1));
  step(protocol, "enabling allocates for slot 0", enabling == 1)
      .set("slot0.metadata", true)
      .set("enabling", Int(2));
  step(protocol, "enabling allocates for slot 1 if it is there", enabling == 2)
      .set("slot1.metadata", meta || exists)
      .set("enabling", Int(3));
  step(protocol, "enabling fails to allocate", enabling == 1 || enabling == 2)
      .set("slots_arch_lock", Int(0))
      .set("enabling", Int(0));
  step(protocol, "enabling sets the flag and unlocks", enabling == 3)
      .set("enabled", true)
      .set("slots_arch_lock", Int(0))
      .set("enabling", Int(0));

  step(protocol, "creation takes slots_arch_lock", owner == 0 && creating == 0 && !exists)
      .set("slots_arch_lock", Int(2))
      .set("creating", Int(1));
  // The twin unlocks between metadata and publication.
  auto& allocate = step(protocol, "creation allocates if tracking is enabled", creating == 1)
                       .set("new-slot-has-metadata", enabled)
                       .set("creating", Int(2));
  if (side == Side::broken_rule) allocate.set("slots_arch_lock", Int(0));
  auto& publish = step(protocol, "creation publishes slot 1", creating == 2)
                      .set("slot1.exists", true)
                      .set("slot1.metadata", has)
                      .set("creating", Int(0));
  if (side == Side::true_rule) publish.set("slots_arch_lock", Int(0));
  step(protocol, "slot 1 is deleted", exists && owner == 0)
      .set("slot1.exists", false)
      .set("slot1.metadata", false);

  // A reader that sees the flag uses the metadata of every slot that it sees.
  protocol.property = implies(enabled, old_meta && implies(exists, meta));
  protocol.invariant = protocol.property && (enabling >= 1) == (owner == 1) &&
                       (creating >= 1) == (owner == 2) && enabling >= 0 && enabling <= 3 &&
                       creating >= 0 && creating <= 2 && implies(creating >= 1, !exists) &&
                       implies(enabling >= 2, old_meta) &&
                       implies(enabling >= 3, implies(exists, meta)) &&
                       implies(creating == 2, implies(enabled, has));
  protocol.depth = 8;
  return protocol;
}

}  // namespace

std::vector<Theorem> root_protocol_theorems() {
  return {
      {"obsolete-roots-are-dropped", "protocols",
       "once the request is served no cached root is obsolete, and no root that was not obsolete "
       "is dropped",
       "seed 001; kvm_mmu_free_obsolete_roots(), cf4a8693d97a",
       "any: a generation of one bit; one vCPU, three roots",
       "as posted: tests the current root in place of each earlier one", obsolete_roots, nullptr},
      {"memslot-generation-publication", "protocols",
       "no MMIO entry is used where the gfn has a slot, through swaps, wraps and faults in flight",
       "seed 002; kvm_swap_active_memslots(), check_mmio_spte()",
       "6.1, 6.12: 19 bits; one vCPU, below 2^62 swaps", "uses entries while a swap is under way",
       generations, nullptr},
      {"write-tracking-enabled-late", "protocols",
       "who sees write tracking enabled finds its metadata in every slot, also one that is created "
       "meanwhile and after failed allocations",
       "seed 004; kvm_enable_external_write_tracking(), a364c014a2c1", "6.12, 7.2; two slots",
       "unlocks between a slot's metadata and its publication", write_tracking, nullptr},
  };
}

}  // namespace lockstep::smt
