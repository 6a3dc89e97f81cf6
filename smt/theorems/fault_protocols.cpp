// SPDX-License-Identifier: GPL-2.0-or-later
/// Faults against MMU notifiers, and shadow pages that leave and regain sync.
#include <string>

#include "impl/protocol_steps.h"
#include "smt/theorems/protocol_state.h"
#include "smt/theorems/theorems.h"

namespace lockstep::smt {
namespace {

/// One host page that changes, one SPTE, one fault at a time, any number of
/// invalidations at once.
Protocol notifier(Side side) {
  Protocol protocol;
  const Int running = state_int(protocol, "in-progress");
  const Int sequence = state_int(protocol, "sequence");
  const Int page = state_int(protocol, "host-page");
  const Bool mapped = state_bool(protocol, "spte");
  const Int maps = state_int(protocol, "spte-maps");
  const Int fault = state_int(protocol, "fault");  // 0 none, 1 knows seq, 2 knows the page
  const Int seen = state_int(protocol, "fault-saw-sequence");
  const Int found = state_int(protocol, "fault-found-page");
  protocol.initial = running == 0 && sequence == 0 && page == 0 && !mapped && fault == 0;

  step(protocol, "an invalidation begins and zaps", true)
      .set("in-progress", running + 1)
      .set("spte", false);
  step(protocol, "the host changes the page", running > 0).set("host-page", page + 1);
  step(protocol, "an invalidation ends", running > 0)
      .set("sequence", sequence + 1)
      .set("in-progress", running - 1);
  step(protocol, "a fault reads the sequence", fault == 0)
      .set("fault", Int(1))
      .set("fault-saw-sequence", sequence);
  step(protocol, "the fault finds the host page", fault == 1)
      .set("fault", Int(2))
      .set("fault-found-page", page);
  // Under mmu_lock.
  const Bool retry =
      side == Side::broken_rule ? running > 0 : impl::must_retry<Int>(running > 0, sequence, seen);
  step(protocol, "the fault maps the page, or retries", fault == 2)
      .set("fault", Int(0))
      .set("spte", mapped || !retry)
      .set("spte-maps", ite(retry, maps, found));

  protocol.property = implies(mapped && running == 0, maps == page);
  protocol.invariant = running >= 0 && fault >= 0 && fault <= 2 &&
                       implies(mapped, running == 0 && maps == page) &&
                       implies(fault >= 1, seen <= sequence) &&
                       implies(fault == 2 && seen == sequence && running == 0, found == page);
  protocol.depth = 7;
  return protocol;
}

/// A guest page table that vCPUs write, its shadow page, and a vCPU that flushes
/// its TLB. `entry` counts the guest's writes; `shadow` is the one that the shadow
/// page follows.
Protocol unsync(Side side) {
  Protocol protocol;
  const Int entry = state_int(protocol, "guest-entry");
  const Int shadow = state_int(protocol, "shadow-follows");
  const Bool writable = state_bool(protocol, "table-writable");
  const Bool unsynced = state_bool(protocol, "unsync");
  const Int owner = state_int(protocol, "mmu_lock");  // 1 v0, 2 v1, 3 the flush of v1
  const Int flush = state_int(protocol, "flush");
  const Int owed = state_int(protocol, "v1-must-see");
  protocol.initial =
      entry == 0 && shadow == 0 && !writable && !unsynced && owner == 0 && flush == 0 && owed == 0;

  step(protocol, "a vCPU writes the guest's entry", writable).set("guest-entry", entry + 1);
  Bool faults = true;
  for (const int vcpu : {1, 2}) {
    const std::string name = vcpu == 1 ? "v0" : "v1";
    const Int fault = state_int(protocol, name + ".fault");
    protocol.initial = protocol.initial && fault == 0;
    step(protocol, name + " faults on the table and takes mmu_lock",
         !writable && owner == 0 && fault == 0)
        .set("mmu_lock", Int(vcpu))
        .set(name + ".fault", Int(1));
    const bool first_unsync = side == Side::true_rule;
    const Bool marks = true, grants = true;
    auto& one = step(protocol,
                     name + (first_unsync ? " marks the page unsync" : " makes the table writable"),
                     fault == 1);
    one.set(first_unsync ? "unsync" : "table-writable", marks).set(name + ".fault", Int(2));
    auto& two = step(protocol,
                     name + (first_unsync ? " makes the table writable" : " marks the page unsync"),
                     fault == 2);
    two.set(first_unsync ? "table-writable" : "unsync", grants)
        .set(name + ".fault", Int(0))
        .set("mmu_lock", Int(0));
    faults = faults && fault >= 0 && fault <= 2 && (fault >= 1) == (owner == vcpu) &&
             implies(fault == 2, unsynced);
  }
  step(protocol, "v1 flushes its TLB", flush == 0).set("flush", Int(1)).set("v1-must-see", entry);
  // Without the lock: is_unsync_root() pairs with the order of the two marks.
  step(protocol, "the flush looks for unsync pages", flush == 1)
      .set("flush", ite(unsynced, Int(2), 0));
  step(protocol, "the flush takes mmu_lock and write-protects the table", flush == 2 && owner == 0)
      .set("flush", Int(3))
      .set("mmu_lock", Int(3))
      .set("table-writable", false);
  step(protocol, "the flush syncs the page", flush == 3)
      .set("flush", Int(0))
      .set("shadow-follows", entry)
      .set("unsync", false)
      .set("mmu_lock", Int(0));

  // After its flush v1 must not use what the guest had changed before it.
  protocol.property = implies(flush == 0, shadow >= owed);
  protocol.invariant = protocol.property && faults && owner >= 0 && owner <= 3 && flush >= 0 &&
                       flush <= 3 && (flush == 3) == (owner == 3) &&
                       implies(!unsynced, shadow == entry && !writable) &&
                       implies(flush == 3, !writable) && shadow <= entry && owed <= entry;
  protocol.depth = 8;
  return protocol;
}

}  // namespace

std::vector<Theorem> fault_protocol_theorems() {
  return {
      {"notifier-against-fault", "protocols",
       "after an invalidation no SPTE maps the page of before, whatever fault was in flight",
       "mmu_invalidate_retry(), kvm_mmu_invalidate_end()",
       "any; one fault at a time, one page; unbounded sequence numbers (82d811ff5665: 31 bits are "
       "too few)",
       "asks for invalidations in progress alone", notifier, nullptr},
      {"unsync-before-writable", "protocols",
       "a vCPU that flushes its TLB sees every entry that was written before, while two vCPUs make "
       "the table's shadow page unsync",
       "mmu_try_to_unsync_pages(), kvm_mmu_sync_roots()",
       "any; two vCPUs, one shadow page, sequentially consistent memory, no TLB of the other vCPU: "
       "write protection takes effect at once",
       "makes the table writable before the page is marked", unsync, nullptr},
  };
}

}  // namespace lockstep::smt
