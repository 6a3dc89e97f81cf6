// SPDX-License-Identifier: GPL-2.0-or-later
/// The MMUs of one VM behind their lock: who does not hold it gets no reference.
#pragma once

#include <mutex>
#include <shared_mutex>

#include "impl/mmu_lock.h"
#include "impl/shadow_mmu.h"
#include "impl/tdp_mmu.h"
#include "impl/walkers.h"

namespace lockstep::impl {

class GuardedMmu {
 public:
  /// `slots` and `arena` outlive it.
  GuardedMmu(SlotTable& slots, TableArena& arena, const MmuOptions& options)
      : arena_(&arena), mmu_(slots, arena, options), tdp_(mmu_, walkers_) {}
  GuardedMmu(const GuardedMmu&) = delete;
  GuardedMmu& operator=(const GuardedMmu&) = delete;

  /// The lock, held against everybody. References got from it must not be used
  /// after it. KVM: write_lock(&kvm->mmu_lock).
  class [[nodiscard]] Exclusive {
   public:
    ShadowMmu& mmu() const { return guarded_->mmu_; }
    TdpMmu& tdp() const { return guarded_->tdp_; }
    /// Let in who waits, if somebody does. KVM: cond_resched_rwlock_write().
    void relax() {
      if (!guarded_->lock_.contended()) return;
      held_.unlock();
      held_.lock();
    }

   private:
    friend class GuardedMmu;
    explicit Exclusive(GuardedMmu& guarded) : guarded_(&guarded), held_(guarded.lock_) {}
    GuardedMmu* guarded_;
    std::unique_lock<MmuLock> held_;
  };
  /// The lock, held beside others that only fill tables of the TDP MMU.
  /// KVM: read_lock(&kvm->mmu_lock).
  class [[nodiscard]] Shared {
   public:
    TdpMmu& tdp() const { return guarded_->tdp_; }

   private:
    friend class GuardedMmu;
    explicit Shared(GuardedMmu& guarded) : guarded_(&guarded), held_(guarded.lock_) {}
    GuardedMmu* guarded_;
    std::shared_lock<MmuLock> held_;
  };
  Exclusive exclusive() { return Exclusive(*this); }
  Shared shared() { return Shared(*this); }

  // What anybody may read at any time.

  /// See ShadowMmu.
  std::uint64_t flush_generation() const { return mmu_.flush_generation(); }
  std::uint64_t obsolete_generation() const { return mmu_.obsolete_generation(); }
  std::uint64_t indirect_pages() const { return mmu_.indirect_pages(); }
  /// Where tables come from; pages found in it are whoever's they are.
  TableArena& arena() const { return *arena_; }
  Walkers& walkers() { return walkers_; }

 private:
  TableArena* arena_;
  MmuLock lock_;
  Walkers walkers_;
  ShadowMmu mmu_;
  TdpMmu tdp_;
};

}  // namespace lockstep::impl
