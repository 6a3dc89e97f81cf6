// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <mutex>

#include "props/schedule/primitives.h"
#include "props/schedule/protocols.h"

namespace lockstep::props::schedule {
namespace {

enum Wrong : unsigned { writable_before_unsync, sync_without_protection, unsync_cleared_first };
constexpr std::array<Defect, 3> defects = {{
    {"writable-before-unsync", "a table becomes writable before its page counts as out of sync",
     "mmu_try_to_unsync_pages(): sp->unsync, then smp_wmb(), then the SPTE"},
    {"sync-without-protection", "a page is synchronized while its table can still be written",
     "mmu_sync_children(): kvm_vcpu_write_protect_gfn() comes first"},
    {"in-sync-too-early", "a page counts as in sync before it is synchronized",
     "kvm_sync_page(): kvm_unlink_unsync_page() under mmu_lock, asked for without it"},
}};

enum Verbs : std::uint8_t { write, flush };
constexpr std::array<Verb, 2> verbs = {{{"write"}, {"flush"}}};

/// A guest's table with one entry, the shadow page that follows it, and guests that
/// store to it or flush their TLBs.
class Unsync final : public SystemBody {
 public:
  Unsync(Runner& runner, unsigned defect, const Threads& threads)
      : SystemBody(unsync_protocol, runner, defect, threads) {}

  const char* broken() const override {
    const bool may_write = (table_.peek() & writable) != 0;
    return may_write && !unsync_.peek() ? "a table can be written whose page counts as in sync"
                                        : nullptr;
  }

 private:
  /// The entry's version above a flag: a store lands if the SPTE of the table is
  /// writable at that instant, as it does where write protection waits for TLBs.
  static constexpr unsigned writable = 1;
  static constexpr unsigned version = 2;

  void command(Command command) override {
    if (command.verb == write) {
      store();
    } else {
      flush_tlb();
    }
  }

  void store() {
    for (;;) {
      unsigned now = table_.load();
      if ((now & writable) == 0) {
        make_writable();
      } else if (table_.compare_exchange(now, now + version)) {
        return;
      }
    }
  }

  /// KVM: mmu_try_to_unsync_pages(), then the SPTE of the table.
  void make_writable() {
    const std::scoped_lock held(mmu_lock_);
    if (has(writable_before_unsync)) allow();
    unsync_.store(true, std::memory_order_release);
    if (!has(writable_before_unsync)) allow();
  }
  void allow() { change(writable, 0); }
  unsigned change(unsigned set, unsigned clear) {
    unsigned now = table_.load();
    while (!table_.compare_exchange(now, (now | set) & ~clear)) {
    }
    return (now | set) & ~clear;
  }

  /// KVM: kvm_mmu_sync_roots(); is_unsync_root() asks without mmu_lock.
  void flush_tlb() {
    const unsigned owed = table_.load() / version;
    if (unsync_.load(std::memory_order_acquire)) synchronize();
    if (follows_.load() < owed) {
      listener->warn("a vCPU goes on with an entry that it has flushed");
    }
  }
  void synchronize() {
    const std::scoped_lock held(mmu_lock_);
    const unsigned now = change(0, has(sync_without_protection) ? 0 : writable);
    if (has(unsync_cleared_first)) unsync_.store(false);
    follows_.store(now / version);
    if (!has(unsync_cleared_first)) unsync_.store(false);
  }

  SpinLock mmu_lock_{"mmu-lock"};
  Atomic<unsigned> table_{0, "table"};
  Atomic<bool> unsync_{false, "unsync"};
  Atomic<unsigned> follows_{0, "shadow-page"};
};

}  // namespace

const System unsync_protocol = {
    .name = "unsync",
    .title = "a shadow page that falls out of sync with its table, and vCPUs that flush",
    .runs = "a model of mmu_try_to_unsync_pages() and kvm_mmu_sync_roots()",
    .property = "who flushed uses no entry that the guest had changed before",
    .verbs = verbs,
    .defects = defects,
    .make = [](Runner& runner, unsigned defect,
               const Threads& threads) -> std::unique_ptr<SystemBody> {
      return std::make_unique<Unsync>(runner, defect, threads);
    }};

}  // namespace lockstep::props::schedule
