// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <mutex>

#include "impl/protocol_steps.h"
#include "props/schedule/primitives.h"
#include "props/schedule/protocols.h"

namespace lockstep::props::schedule {
namespace {

enum Wrong : unsigned {
  sequence_read_late,
  no_retry,
  sequence_only,
  sequence_at_begin,
  zap_without_flush,
  in_progress_only
};
constexpr std::array<Defect, 6> defects = {{
    {"sequence-read-late", "a fault reads the sequence behind the host's page table",
     "kvm_faultin_pfn(): mmu_invalidate_seq is read first, then smp_rmb()"},
    {"fault-does-not-retry", "a fault maps what it found whatever happened since",
     "mmu_invalidate_retry_hva() of 6.1, since 6.12 mmu_invalidate_retry_gfn()"},
    {"sequence-only", "a fault does not ask for invalidations that go on",
     "mmu_invalidate_retry(): mmu_invalidate_in_progress"},
    {"sequence-at-begin", "an invalidation counts when it begins, not when it ends",
     "kvm_mmu_invalidate_end()"},
    {"zap-without-flush", "the host's page goes while processors hold its translation",
     "kvm_mmu_notifier_invalidate_range_start(): kvm_flush_remote_tlbs()"},
    {"in-progress-only", "a fault does not ask for invalidations that have ended since",
     "mmu_invalidate_retry(): mmu_invalidate_seq"},
}};

enum Verbs : std::uint8_t { fault, access, invalidate };
constexpr std::array<Verb, 3> verbs = {{{"fault"}, {"access"}, {"invalidate"}}};

using Page = int;

/// One page of the host that moves, the SPTE that maps it, and who walks that.
class Notifier final : public SystemBody {
 public:
  Notifier(Runner& runner, unsigned defect, const Threads& threads)
      : SystemBody(notifier_protocol, runner, defect, threads),
        host_(heap_.make<Page>("page", 0, 0).node(), "host-pte") {}

  void tear_down() override { heap_.free(Ref(*host_.load())); }

  const char* broken() const override {
    const auto* mapped = spte_.peek();
    return mapped != nullptr && in_progress_.peek() == 0 && mapped != host_.peek()
               ? "the SPTE maps a page that the host has taken away"
               : nullptr;
  }

 private:
  void command(Command command) override {
    switch (command.verb) {
      case fault:
        handle_fault();
        break;
      case access: {
        // A processor's walk, and the translation that it keeps until a flush.
        const std::scoped_lock walking(translations_);
        // The processor's next access depends on what it read.
        if (auto* page = spte_.load(std::memory_order_acquire)) {
          guest_.load(std::memory_order_relaxed);
          *Ref(*page) = 1;
        }
        break;
      }
      default:
        move_page();
    }
  }

  /// KVM: kvm_faultin_pfn(), then direct_page_fault() under mmu_lock.
  void handle_fault() {
    int seen = has(sequence_read_late) ? 0 : sequence_.load(std::memory_order_acquire);
    // get_user_pages() and the reference that is put again before the page is
    // used: nothing but the sequence keeps it.
    auto* page = host_.load();
    if (has(sequence_read_late)) seen = sequence_.load(std::memory_order_acquire);
    const std::scoped_lock held(mmu_lock_);
    const int now = sequence_.load(std::memory_order_relaxed);
    const int running = has(sequence_only) ? 0 : in_progress_.get();
    const bool retry =
        has(in_progress_only) ? running != 0 : impl::must_retry<int>(running, now, seen);
    if (retry && !has(no_retry)) return;
    spte_.store(page, std::memory_order_release);
  }

  /// The host moves its page: try_to_migrate() between the notifiers.
  void move_page() {
    const std::scoped_lock host(page_lock_);
    {
      const std::scoped_lock held(mmu_lock_);
      in_progress_.set(in_progress_.get() + 1);
      if (has(sequence_at_begin)) sequence_.add(1, std::memory_order_relaxed);
      spte_.store(nullptr, std::memory_order_relaxed);
    }
    if (!has(zap_without_flush)) translations_.synchronize();
    auto* old = host_.load();
    host_.store(heap_.make<Page>("page", ++moves_, 0).node());
    {
      const std::scoped_lock held(mmu_lock_);
      if (!has(sequence_at_begin)) sequence_.add(1, std::memory_order_release);
      in_progress_.set(in_progress_.get() - 1);
    }
    heap_.free(Ref(*old));
  }

  Heap heap_;
  std::uint32_t moves_ = 0;
  Mutex page_lock_{"page-lock"};
  SpinLock mmu_lock_{"mmu-lock"};
  /// A TLB flush waits for each processor, as a grace period does.
  Srcu translations_{"tlb"};
  Atomic<Node<Page>*> host_;
  Atomic<Node<Page>*> spte_{nullptr, "spte"};
  Atomic<int> sequence_{0, "sequence"};
  Plain<int> in_progress_{0, "in-progress"};
  Atomic<int> guest_{0, "guest"};
};

}  // namespace

const System notifier_protocol = {
    .name = "notifier",
    .title = "MMU notifiers against faults",
    .runs =
        "impl's must_retry(); the rest is a model of kvm_faultin_pfn() and "
        "kvm_mmu_invalidate_begin() and _end()",
    .property = "without an invalidation in progress an SPTE maps the host's page or nothing",
    .verbs = verbs,
    .defects = defects,
    .make = [](Runner& runner, unsigned defect,
               const Threads& threads) -> std::unique_ptr<SystemBody> {
      return std::make_unique<Notifier>(runner, defect, threads);
    }};

}  // namespace lockstep::props::schedule
