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

/// One cached root. `stale` is no state of KVM: the root was there when all shadow
/// pages, or it, were to be used no more.
struct Root {
  std::string name;
  Bool held, invalid, generation, stale;
};

/// What is broken of the protocol of obsolete roots.
struct RootDefects {
  bool tests_current_root = false;    ///< as posted: in place of each earlier one
  bool requests_before_mark = false;  ///< the order that the seed turns round
};

/// Who holds mmu_lock.
constexpr int nobody = 0, zaps_all = 1, zaps_one = 2;  // zaps_one + i: root i

struct RootProtocol {
  Protocol protocol;
  Bool kept = true;     ///< no root is dropped that could still be used
  Bool dropped = true;  ///< once requests are served no root is held that could not
};

/// A vCPU's current root and two earlier ones, of the three that KVM keeps. The
/// vCPU tests them without mmu_lock, which whoever zaps all pages gives up between.
RootProtocol obsolete_roots(const RootDefects& defects) {
  RootProtocol result;
  Protocol& protocol = result.protocol;
  const Bool generation = state_bool(protocol, "generation");
  const Bool request = state_bool(protocol, "request");
  const Bool serving = state_bool(protocol, "request-taken");
  const Bool lost = state_bool(protocol, "valid-root-dropped");
  const Int lock = state_int(protocol, "mmu_lock");
  const Int zapping = state_int(protocol, "zap-of-all");  // 0 none, 1 toggled, 2 requested
  std::vector<Root> roots;
  for (const std::string name : {"current", "previous0", "previous1"}) {
    roots.push_back(
        {name, state_bool(protocol, name + ".held"), state_bool(protocol, name + ".invalid"),
         state_bool(protocol, name + ".generation"), state_bool(protocol, name + ".stale")});
  }
  const auto obsolete = [&](const Root& root) {
    return impl::is_obsolete(root.invalid, root.generation, generation);
  };
  protocol.initial = !request && !serving && !lost && lock == nobody && zapping == 0;
  for (const auto& root : roots) protocol.initial = protocol.initial && !root.held;

  // kvm_mmu_zap_all_fast(), one at a time under slots_lock.
  auto& toggle = step(protocol, "zapping all takes mmu_lock and changes the generation",
                      lock == nobody && zapping == 0)
                     .set("mmu_lock", Int(zaps_all))
                     .set("zap-of-all", Int(1))
                     .set("generation", !generation);
  for (const auto& root : roots) toggle.set(root.name + ".stale", root.stale || root.held);
  step(protocol, "zapping all makes the request", zapping == 1)
      .set("zap-of-all", Int(2))
      .set("request", true);
  const Bool marks = zapping == 2 && lock == zaps_all;
  step(protocol, "zapping all gives mmu_lock up", marks).set("mmu_lock", Int(nobody));
  step(protocol, "zapping all takes mmu_lock again", zapping == 2 && lock == nobody)
      .set("mmu_lock", Int(zaps_all));
  // What is left of before must not look new after the next change.
  Bool all_marked = true;
  for (const auto& root : roots) {
    const Bool old = root.held && root.generation != generation;
    step(protocol, "zapping all marks " + root.name + " invalid", marks && old)
        .set(root.name + ".invalid", true);
    all_marked = all_marked && implies(old, root.invalid);
  }
  step(protocol, "zapping all ends", marks && all_marked)
      .set("zap-of-all", Int(0))
      .set("mmu_lock", Int(nobody));

  // __kvm_mmu_prepare_zap_page() of a root that is not obsolete. The twin marks the
  // root that it began with, which stays in its place until then.
  const Bool still_to_mark = defects.requests_before_mark;
  for (std::size_t i = 0; i < roots.size(); ++i) {
    const Root& root = roots[i];
    const Int holder = zaps_one + static_cast<int>(i);
    auto& first =
        step(protocol, root.name + " is zapped", lock == nobody && root.held && !obsolete(root));
    first.set("mmu_lock", holder);
    auto& second = step(protocol, "the zap of " + root.name + " goes on", lock == holder);
    second.set("mmu_lock", Int(nobody));
    (defects.requests_before_mark ? first : second).set("request", true);
    (defects.requests_before_mark ? second : first)
        .set(root.name + ".invalid", true)
        .set(root.name + ".stale", true);
    step(protocol, root.name + " is dropped", root.held && !(lock == holder && still_to_mark))
        .set(root.name + ".held", false);
  }
  const Bool one = lock >= zaps_one;

  step(protocol, "the vCPU makes a root", !roots[0].held && lock == nobody)
      .set("current.held", true)
      .set("current.invalid", false)
      .set("current.stale", false)
      .set("current.generation", generation);
  step(protocol, "the vCPU loads another CR3", !roots[2].held && !(one && still_to_mark))
      .set("previous1.held", roots[1].held)
      .set("previous1.invalid", roots[1].invalid)
      .set("previous1.stale", roots[1].stale)
      .set("previous1.generation", roots[1].generation)
      .set("previous0.held", roots[0].held)
      .set("previous0.invalid", roots[0].invalid)
      .set("previous0.stale", roots[0].stale)
      .set("previous0.generation", roots[0].generation)
      .set("current.held", false);

  step(protocol, "the vCPU takes the request", request && !serving)
      .set("request", false)
      .set("request-taken", true);
  auto& serve = step(protocol, "the vCPU tests its roots", serving).set("request-taken", false);
  Bool dropped_valid = lost;
  for (const auto& root : roots) {
    const Root& tested = defects.tests_current_root ? roots[0] : root;
    const Bool drop = tested.held && obsolete(tested);
    serve.set(root.name + ".held", root.held && !drop);
    dropped_valid = dropped_valid || (root.held && drop && !root.stale);
  }
  serve.set("valid-root-dropped", dropped_valid);

  Bool any_stale = false, known = true, settled = true;
  for (const auto& root : roots) {
    any_stale = any_stale || (root.held && root.stale);
    known = known && implies(root.held, root.stale == obsolete(root));
    settled = settled && implies(root.held, root.invalid || root.generation == generation);
  }
  result.kept = !lost;
  result.dropped = implies(lock == nobody && !request && !serving, !any_stale);
  protocol.invariant = !lost && known && implies(zapping == 0, settled) && lock >= nobody &&
                       lock <= zaps_one + 2 && zapping >= 0 && zapping <= 2 &&
                       implies(lock == zaps_all, zapping >= 1) &&
                       implies(zapping == 1, lock == zaps_all) &&
                       implies(any_stale, request || serving || zapping == 1 || one);
  protocol.depth = 8;
  return result;
}

Protocol roots_dropped(Side side) {
  auto roots = obsolete_roots({.requests_before_mark = side == Side::broken_rule});
  roots.protocol.property = roots.dropped;
  return roots.protocol;
}
Protocol roots_kept(Side side) {
  auto roots = obsolete_roots({.tests_current_root = side == Side::broken_rule});
  roots.protocol.property = roots.kept;
  return roots.protocol;
}

/// When a vCPU makes MMIO entries while memslots are swapped: impl/ does not, KVM
/// does. One that is made between a wrap's zap and the new generation looks current
/// again 2^19 swaps later.
enum class MadeDuringSwap : std::uint8_t { never, but_after_wrap_zap, always };

/// What a vCPU and a swap of memslots do.
struct SwapRules {
  MadeDuringSwap made = MadeDuringSwap::never;
  bool publishes_before_zap = false;  ///< 152482580a1b turned round
};

/// A gfn that memslots change, an MMIO entry for it, and a vCPU. The generation is
/// the full word; the entry keeps 19 bits of it.
Protocol generations(const SwapRules& rules) {
  Protocol protocol;
  const impl::MmioLayout<Word> layout;
  const Word mask = impl::generation_mask(layout);
  const Word generation = state_word(protocol, "generation");
  // 1: new memslots are visible, with the flag. 2: the wrap's zap, or the generation
  // in its place, is done.
  const Int swap = state_int(protocol, "swap");
  const Bool slot = state_bool(protocol, "gfn-has-slot");
  const Bool cached = state_bool(protocol, "mmio-entry");
  const Word made_at = state_word(protocol, "entry-made-at");
  const Bool faults = state_bool(protocol, "vcpu-in-fault");
  const Bool saw_slot = state_bool(protocol, "vcpu-saw-slot");
  const Bool older = state_bool(protocol, "vcpu-reads-older-memslots");
  const Bool flux = swap == 1 || (swap == 2 && !rules.publishes_before_zap);
  protocol.initial = generation <= mask && swap == 0 && !cached && !faults && !older;

  const Word limit = 1ull << 62;
  // The twin's swap is of another slot: while the gfn's own one changes user space
  // cannot tell before from behind.
  const Bool new_slot = rules.publishes_before_zap ? slot : Bool::variable("new-slot");
  step(protocol, "new memslots are published", swap == 0 && generation < limit)
      .set("swap", Int(1))
      .set("gfn-has-slot", new_slot)
      .set("vcpu-reads-older-memslots", faults);
  // After synchronize_srcu(): nobody is left who saw the old ones.
  const Bool synchronized = swap == 1 && !older;
  const Word next = impl::next_generation<Word>(generation, 1);
  if (rules.publishes_before_zap) {
    step(protocol, "the new generation is published", synchronized)
        .set("swap", Int(2))
        .set("generation", next);
    step(protocol, "MMIO entries are zapped if it wraps", swap == 2)
        .set("swap", Int(0))
        .set("mmio-entry", cached && !impl::generation_wraps<Word>(layout, generation, 1));
  } else {
    step(protocol, "MMIO entries are zapped if the new generation wraps", synchronized)
        .set("swap", Int(2))
        .set("mmio-entry", cached && !impl::generation_wraps<Word>(layout, next, 1));
    step(protocol, "the new generation is published", swap == 2)
        .set("swap", Int(0))
        .set("generation", next);
  }
  // Many of the above at once, in which the vCPU does nothing and none wraps.
  const Word later = Word::variable("later");
  step(protocol, "memslots are swapped many times",
       swap == 0 && !faults && later > generation && later < limit &&
           (later & ~mask) == (generation & ~mask))
      .set("generation", later)
      .set("gfn-has-slot", Bool::variable("new-slot"));

  step(protocol, "the vCPU begins a fault", !faults)
      .set("vcpu-in-fault", true)
      .set("vcpu-saw-slot", slot);
  // Slot and generation are read at different times, under one SRCU lock.
  const Bool wrap_zapped = swap == 2 && impl::generation_wraps<Word>(layout, next, 1);
  const Bool withheld = rules.made == MadeDuringSwap::never                ? flux
                        : rules.made == MadeDuringSwap::but_after_wrap_zap ? wrap_zapped
                                                                           : Bool(false);
  const Bool caches = !saw_slot && !withheld;
  step(protocol, "the vCPU ends its fault", faults)
      .set("vcpu-in-fault", false)
      .set("vcpu-reads-older-memslots", false)
      .set("mmio-entry", cached || caches)
      .set("entry-made-at", ite(caches, generation, made_at));

  const Word entry = impl::encode_mmio<Word>(layout, 0, 0, made_at);
  const Word seen = generation | ite(flux, Word(impl::update_in_progress), 0);
  const Bool hit = cached && impl::mmio_hit(layout, entry, seen);
  protocol.property = implies(hit, !slot);
  // An entry of this period was made at the generation that its bits say.
  const Bool of_period = (made_at & ~mask) == (generation & ~mask) && made_at <= generation;
  protocol.invariant = protocol.property && generation <= limit && swap >= 0 && swap <= 2 &&
                       implies(swap != 0, generation < limit) && implies(cached, of_period) &&
                       implies(cached && made_at == generation, flux || !slot) &&
                       implies(older, faults && swap == 1) &&
                       implies(faults && !older, saw_slot == slot) && implies(wrap_zapped, !cached);
  protocol.depth = 6;
  return protocol;
}

Protocol generations_of_impl(Side side) {
  return generations(
      {.made = side == Side::true_rule ? MadeDuringSwap::never : MadeDuringSwap::always});
}
Protocol generations_of_kvm(Side side) {
  return generations({.made = MadeDuringSwap::but_after_wrap_zap,
                      .publishes_before_zap = side == Side::broken_rule});
}

/// What the twins of write tracking do wrong.
enum class TrackingDefect : std::uint8_t { none, unlocks_early, flag_first };

/// Two slots, one of which is created while write tracking is enabled.
Protocol write_tracking(TrackingDefect defect) {
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

  auto& begin = step(protocol, "enabling takes slots_arch_lock", owner == 0 && enabling == 0)
                    .set("slots_arch_lock", Int(1))
                    .set("enabling", Int(1));
  if (defect == TrackingDefect::flag_first) begin.set("enabled", true);
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
  if (defect == TrackingDefect::unlocks_early) allocate.set("slots_arch_lock", Int(0));
  auto& publish = step(protocol, "creation publishes slot 1", creating == 2)
                      .set("slot1.exists", true)
                      .set("slot1.metadata", has)
                      .set("creating", Int(0));
  if (defect != TrackingDefect::unlocks_early) publish.set("slots_arch_lock", Int(0));
  step(protocol, "slot 1 is deleted", exists && owner == 0)
      .set("slot1.exists", false)
      .set("slot1.metadata", false);

  // A reader that sees the flag uses the metadata of every slot that it sees.
  const Bool usable = old_meta && implies(exists, meta);
  const Bool null_used = state_bool(protocol, "null-pointer-used");
  protocol.initial = protocol.initial && !null_used;
  step(protocol, "a vCPU follows a page", enabled).set("null-pointer-used", null_used || !usable);
  protocol.property = !null_used;
  protocol.invariant = protocol.property && implies(enabled, usable) &&
                       (enabling >= 1) == (owner == 1) && (creating >= 1) == (owner == 2) &&
                       enabling >= 0 && enabling <= 3 && creating >= 0 && creating <= 2 &&
                       implies(creating >= 1, !exists) && implies(enabling >= 2, old_meta) &&
                       implies(enabling >= 3, implies(exists, meta)) &&
                       implies(creating == 2, implies(enabled, has));
  protocol.depth = 8;
  return protocol;
}

Protocol tracked_under_lock(Side side) {
  return write_tracking(side == Side::true_rule ? TrackingDefect::none
                                                : TrackingDefect::unlocks_early);
}
Protocol tracked_before_flag(Side side) {
  return write_tracking(side == Side::true_rule ? TrackingDefect::none
                                                : TrackingDefect::flag_first);
}

}  // namespace

std::vector<Theorem> root_protocol_theorems() {
  const std::string roots = "any: a generation of one bit; one vCPU, three roots";
  const std::string swaps =
      "6.1, 6.12: 19 bits; one vCPU, one address space, one gfn, below 2^62 swaps";
  return {
      {"obsolete-roots-are-dropped", "protocols",
       "once a zap is over and its request is served the vCPU keeps no root that was zapped, of "
       "those with a shadow page, though it tests them without mmu_lock",
       "seed 001; kvm_mmu_free_obsolete_roots(), __kvm_mmu_prepare_zap_page()", roots,
       "makes the request before it marks the root invalid", roots_dropped, nullptr},
      {"valid-roots-are-kept", "protocols",
       "serving the request drops no root that was not zapped, of those with a shadow page: PAE "
       "roots have none and always go",
       "seed 001; kvm_mmu_free_obsolete_roots(), cf4a8693d97a", roots,
       "as posted: tests the current root in place of each earlier one", roots_kept, nullptr},
      {"memslot-generation-publication", "protocols",
       "where no MMIO entry is made while a swap is under way, none is used where the gfn has a "
       "slot, through swaps, wraps and faults in flight",
       "seed 002; impl: ShadowMmu::map_mmio(); kvm_swap_active_memslots(), check_mmio_spte()",
       swaps,
       "makes entries during swaps, as KVM does: one between a wrap's zap and its generation",
       generations_of_impl, nullptr},
      {"memslot-generation-zap-first", "protocols",
       "where entries are made during swaps, too, as KVM makes them, none is used where the gfn "
       "has "
       "a slot, but for those made between a wrap's zap and its generation",
       "seed 002; kvm_swap_active_memslots(), make_mmio_spte(); 152482580a1b", swaps,
       "publishes the generation before it zaps", generations_of_kvm, nullptr},
      {"write-tracking-enabled-late", "protocols",
       "who sees write tracking enabled finds its metadata in every slot, also one that is created "
       "meanwhile and after failed allocations",
       "seed 004; kvm_enable_external_write_tracking(), a364c014a2c1",
       "6.12, 7.2; two slots, steps seen in one order by all",
       "unlocks between a slot's metadata and its publication", tracked_under_lock, nullptr},
      {"write-tracking-flag-last", "protocols",
       "the flag of write tracking is set strictly after the metadata of every slot",
       "seed 004; kvm_enable_external_write_tracking(), a364c014a2c1",
       "6.12, 7.2; two slots, steps seen in one order by all", "sets the flag before it allocates",
       tracked_before_flag, nullptr},
  };
}

}  // namespace lockstep::smt
