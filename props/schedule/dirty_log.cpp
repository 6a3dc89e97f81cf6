// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <mutex>

#include "impl/spte.h"
#include "props/schedule/primitives.h"
#include "props/schedule/protocols.h"

namespace lockstep::props::schedule {
namespace {

enum Wrong : unsigned {
  log_without_flush,
  bitmap_cleared_last,
  dirty_before_writable,
  plain_store,
  tracking_forgotten,
  tracking_leaves_mmu_writable
};
constexpr std::array<Defect, 6> defects = {{
    {"log-without-flush", "dirty bits are handed out while processors may write on",
     "kvm_get_dirty_log_protect(): the flush before it returns"},
    {"bitmap-cleared-last", "dirty bits are cleared behind the write protection",
     "kvm_get_dirty_log_protect(): xchg() first"},
    {"dirty-before-writable", "a fast fault logs the page, then makes it writable",
     "fast_pf_fix_direct_spte(): mark_page_dirty_in_slot() behind the cmpxchg"},
    {"fast-fault-stores", "a fast fault writes the SPTE whatever became of it",
     "fast_pf_fix_direct_spte(): try_cmpxchg64()"},
    {"fast-fault-forgets-tracking", "a fast fault looks at the host's bit only",
     "7c8a4742c4ab: MMU-writable tells that tracking does not forbid it"},
    {"tracking-leaves-mmu-writable", "write tracking protects as the dirty log does",
     "f082d86ea685: spte_write_protect() clears MMU-writable"},
}};

enum Verbs : std::uint8_t { write, get_log, track };
constexpr std::array<Verb, 3> verbs = {{{"write"}, {"get-dirty-log"}, {"track"}}};

constexpr std::uint64_t writable_leaf = impl::leaf_spte<std::uint64_t>(
    {.frame = 7, .access = impl::rights::all, .host_writable = true});

/// One page that is logged, and may come to be a guest's page table.
class DirtyLog final : public SystemBody {
 public:
  DirtyLog(Runner& runner, unsigned defect, const Threads& threads)
      : SystemBody(dirty_log_protocol, runner, defect, threads) {}

  void tear_down() override {
    if (memory_ != copied_ && dirty_.load() == 0) {
      listener->warn("the page was written after it was copied, and is not in the log");
    }
  }

 private:
  void command(Command command) override {
    switch (command.verb) {
      case write:
        guest_write();
        break;
      case get_log:
        copy_dirty();
        break;
      default:
        protect_for_good();
    }
  }

  /// The guest's store, again after each fault; three are enough for what others
  /// can take away.
  void guest_write() {
    for (int attempt = 0; attempt < 3; ++attempt) {
      {
        const std::scoped_lock walking(translations_);
        if (impl::spte_writable(spte_.load(std::memory_order_relaxed))) {
          guest_.load(std::memory_order_relaxed);
          if (tracked_) listener->warn("the guest writes a page table that is followed");
          ++memory_;
          return;
        }
      }
      if (!fast_fault()) return;
    }
  }

  /// KVM: fast_page_fault().
  bool fast_fault() {
    std::uint64_t spte = spte_.load(std::memory_order_relaxed);
    const bool may = has(tracking_forgotten)
                         ? !impl::spte_writable(spte) && (spte & impl::spte::host_writable) != 0
                         : impl::may_restore_write(spte);
    if (!may) return impl::spte_writable(spte);
    if (has(dirty_before_writable)) dirty_.exchange(1);
    if (has(plain_store)) {
      spte_.store(impl::with_write(spte));
    } else if (!spte_.compare_exchange(spte, impl::with_write(spte))) {
      return true;
    }
    if (!has(dirty_before_writable)) dirty_.exchange(1);
    return true;
  }

  void protect(bool for_good) {
    const std::scoped_lock held(mmu_lock_);
    std::uint64_t spte = spte_.load();
    while (!spte_.compare_exchange(spte, impl::without_write(spte, for_good))) {
    }
  }

  /// KVM: kvm_get_dirty_log_protect(); user space copies what is dirty.
  void copy_dirty() {
    const std::scoped_lock held(slots_lock_);
    const bool last = has(bitmap_cleared_last);
    if ((last ? dirty_.load() : dirty_.exchange(0)) == 0) return;
    protect(/*for_good=*/false);
    if (last) dirty_.exchange(0);
    if (!has(log_without_flush)) translations_.synchronize();
    // Meanwhile others may write again: they must be logged again.
    copied_ = memory_;
  }

  /// KVM: account_shadowed() and kvm_mmu_slot_gfn_write_protect().
  void protect_for_good() {
    const std::scoped_lock held(slots_lock_);
    protect(/*for_good=*/!has(tracking_leaves_mmu_writable));
    translations_.synchronize();
    tracked_ = true;
  }

  Mutex slots_lock_{"slots-lock"};
  SpinLock mmu_lock_{"mmu-lock"};
  /// A TLB flush waits for each processor, as a grace period does.
  Srcu translations_{"tlb"};
  Atomic<std::uint64_t> spte_{writable_leaf, "spte"};
  Atomic<int> dirty_{1, "dirty"};  ///< what is mapped writable has been logged
  Atomic<int> guest_{0, "guest"};
  int memory_ = 0;
  int copied_ = 0;
  bool tracked_ = false;
};

}  // namespace

const System dirty_log_protocol = {
    .name = "dirty-log",
    .title = "faults without a lock against the dirty log and write tracking",
    .runs =
        "impl's may_restore_write(), with_write() and without_write(); the rest is a model of "
        "fast_page_fault() and kvm_get_dirty_log_protect()",
    .property =
        "what is written after it was copied is in the log; nobody writes a table that "
        "is followed",
    .verbs = verbs,
    .defects = defects,
    .make = [](Runner& runner, unsigned defect,
               const Threads& threads) -> std::unique_ptr<SystemBody> {
      return std::make_unique<DirtyLog>(runner, defect, threads);
    }};

}  // namespace lockstep::props::schedule
