// SPDX-License-Identifier: GPL-2.0-or-later
/// What all vCPUs of a virtual machine share.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "impl/dirty_marker.h"
#include "impl/error.h"
#include "impl/guarded_mmu.h"
#include "impl/host_memory.h"
#include "impl/memslot.h"
#include "impl/mutex.h"
#include "impl/protocol_steps.h"
#include "impl/slot_readers.h"
#include "spec/vocabulary/configuration.h"

namespace lockstep::impl {

class Vcpu;

struct VmSettings {
  bool tdp = false;
  /// Under `tdp`, tables of the TDP MMU; else direct shadow pages.
  bool tdp_mmu = true;
  DirtyLogMode dirty_log = DirtyLogMode::plain;
  /// Logging finds written pages by the D bits of SPTEs, where the processor has
  /// a log of its own (PML); else by write protection.
  bool dirty_bits = false;
  bool nx_huge_pages = false;
  bool eager_page_split = true;
  /// KVM_X86_QUIRK_SLOT_ZAP_ALL.
  bool slot_zap_all = true;
  /// Soft limit of shadow pages. KVM: kvm_mmu_calculate_default_mmu_pages().
  std::uint64_t shadow_page_limit = 4096;
  SlotTable::Limits slot_limits{};
};

/// KVM: struct kvm. Ioctls of the VM come one at a time (slots_lock); vCPUs may
/// handle faults meanwhile.
class Vm {
 public:
  /// `memory` and `arena` outlive the VM. The arena may serve one VM after
  /// another.
  Vm(HostMemory memory, TableArena& arena, const VmSettings& settings);
  ~Vm();
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  /// KVM_SET_USER_MEMORY_REGION; errors as of Linux 6.1.
  Expected<void> set_memory_region(const MemoryRegion& region);

  /// A dirty bitmap as user space gets it.
  struct DirtyLog {
    std::uint64_t pages = 0;
    std::vector<std::uint64_t> words;
  };
  /// KVM_GET_DIRTY_LOG. Plain mode clears what it returns and write-protects it.
  Expected<DirtyLog> get_dirty_log(std::uint64_t id);
  /// KVM_CLEAR_DIRTY_LOG with every bit of [first, first + count) set.
  Expected<void> clear_dirty_log(std::uint64_t id, std::uint64_t first, std::uint32_t count);
  /// What the rings of all vCPUs hold, which is then protected again: reading the
  /// rings and KVM_RESET_DIRTY_RINGS. Pages of slots that are gone are returned,
  /// too.
  std::vector<DirtyRing::Entry> collect_rings();

  /// KVM_SET_NR_MMU_PAGES.
  Expected<void> set_page_limit(std::uint64_t pages);
  /// The memory shrinker: caches of vCPUs first, then shadow pages, oldest first;
  /// how many pages were freed. KVM: mmu_shrink_scan().
  std::uint64_t shrink(std::uint64_t objects);
  /// Give back what is kept for splitting huge pages.
  void empty_split_caches() {
    split_pages_.empty();
    split_rmaps_.empty();
  }
  /// One pass over the pages that the iTLB multihit mitigation made.
  /// KVM: kvm_recover_nx_huge_pages().
  void recover_huge_pages();

  // MMU notifiers: virt/kvm/kvm_main.c.

  /// The host is about to change its pages [hva, hva + size): what maps them goes,
  /// and faults on them wait until invalidate_end().
  void invalidate_begin(Hva hva, std::uint64_t size);
  void invalidate_end();
  /// A fault that looked at the host's pages when invalidations were at `seen`
  /// must look again. KVM: mmu_invalidate_retry_hva(), in 6.1.
  bool must_retry(std::uint64_t seen, Hva hva) const {
    const bool here = invalidating_ && hva >= invalid_from_ && hva < invalid_to_;
    return impl::must_retry<std::uint64_t>(here, invalidations(), seen);
  }
  std::uint64_t invalidations() const { return invalidations_.load(std::memory_order_acquire); }
  /// Clear accessed flags of what maps the range; whether one was set.
  bool age(Hva hva, std::uint64_t size);
  /// The host lets nobody write the pages any more, or again.
  void protect_host(Hva hva, std::uint64_t size, bool on);
  bool host_protects(Hva hva) const { return !memory_.writable(hva); }
  /// Leaf SPTEs that invalidations dropped.
  std::uint64_t host_unmapped() const { return host_unmapped_; }

  // Write tracking for others than shadow paging: drivers/gpu/drm/i915/gvt.

  /// Allocate what tracking needs in every slot, now and in future ones; all or
  /// nothing, and to be tried again. KVM: kvm_page_track_register_notifier().
  Expected<void> enable_tracking();
  bool tracking_enabled() const { return tracking_.load(std::memory_order_acquire); }
  /// Let no guest store to the gfn go unseen, or let it again. invalid without
  /// enable_tracking(), without slot, or past the counter's range.
  Expected<void> track(Gfn gfn, bool on);

  /// Where a gpa stands in host memory; null without a slot or memory.
  struct Place {
    MemorySlot* slot = nullptr;
    Hva hva = 0;
    explicit operator bool() const { return slot != nullptr; }
  };
  Place place(Gpa gpa);
  /// Largest leaf that may map the gfn, at most `level`.
  /// KVM: kvm_mmu_max_mapping_level().
  unsigned mapping_level(const MemorySlot& slot, Gfn gfn, unsigned level) const;

  enum class Store : std::uint8_t { done, mmio };
  /// Store for the guest by the emulator: memory, dirty log, and the shadow pages
  /// that follow this gfn. mmio without a slot, if it is read-only, or if the host
  /// protects the page. KVM: emulator_write_phys().
  Store guest_store(Gpa gpa, unsigned size, std::uint64_t value, DirtyMarker& dirty);
  Store guest_store(Gpa gpa, unsigned size, std::uint64_t value) {
    return guest_store(gpa, size, value, marker_);
  }

  const VmSettings& settings() const { return settings_; }
  bool uses_tdp_mmu() const { return settings_.tdp && settings_.tdp_mmu; }
  HostMemory& memory() { return memory_; }
  /// The MMUs, for as long as their lock is held.
  GuardedMmu::Exclusive exclusive() { return mmu_.exclusive(); }
  GuardedMmu::Shared shared() { return mmu_.shared(); }
  /// See ShadowMmu.
  std::uint64_t flush_generation() const { return mmu_.flush_generation(); }
  std::uint64_t obsolete_generation() const { return mmu_.obsolete_generation(); }
  TableArena& arena() const { return mmu_.arena(); }
  /// Sections in which slots may be looked up beside changes of them.
  SlotReaders& slot_readers() { return slot_readers_; }
  Walkers& walkers() { return mmu_.walkers(); }
  SlotTable& slots() { return slots_; }
  /// Bytes of shadow pages, of what stands beside them, and of slots' metadata that
  /// are in use; vCPUs' caches count.
  std::uint64_t bytes() const;
  /// Stores to gfns that shadow pages follow.
  std::uint64_t tracked_stores() const { return tracked_stores_; }
  void count_tracked_store() { ++tracked_stores_; }

 private:
  friend class Vcpu;
  /// vCPUs announce themselves, and go before the VM does.
  std::size_t join(Vcpu& vcpu);
  void leave(Vcpu& vcpu);

  Expected<std::unique_ptr<MemorySlot>> make_slot(const MemoryRegion& region);
  Expected<void> create(const MemoryRegion& region);
  void remove(std::uint64_t id);
  Expected<void> move(const MemoryRegion& region);
  Expected<void> change_flags(const MemoryRegion& region);
  Expected<void> set_logging(MemorySlot& slot, bool log);
  void publish();
  void begin_removal(MemorySlot& slot);
  void zap_everything();
  void protect_slot(MemorySlot& slot);
  void collapse_slot(MemorySlot& slot);
  void split_slot(MemorySlot& slot, Gfn first, Gfn end);
  void harvest(MemorySlot& slot);
  bool rearm(const GuardedMmu::Exclusive& held, MemorySlot& slot, Gfn gfn);
  /// `cleared` becomes the bits that were set; true if TLBs must be told.
  bool protect_word(MemorySlot& slot, std::uint64_t word, std::uint64_t mask,
                    std::uint64_t& cleared);
  template <typename Visit>
  void each_range(Hva hva, std::uint64_t size, Visit&& visit);

  HostMemory memory_;
  VmSettings settings_;
  SlotTable slots_;
  SlotReaders slot_readers_;
  GuardedMmu mmu_;
  DirtyMarker marker_;  ///< of stores that no vCPU makes
  MemoryCache split_pages_;
  SplitRmapCache split_rmaps_;
  Mutex vcpus_mutex_{"vcpus-lock"};
  std::vector<Vcpu*> vcpus_;
  /// KVM: slots_arch_lock. From the question whether a slot needs tracking to the
  /// moment at which others find the slot.
  Mutex slots_arch_mutex_{"slots-arch-lock"};
  std::atomic<bool> tracking_ = false;
  std::atomic<std::uint64_t> invalidations_ = 0;
  bool invalidating_ = false;
  Hva invalid_from_ = 0;
  Hva invalid_to_ = 0;
  std::uint64_t tracked_stores_ = 0;
  std::uint64_t host_unmapped_ = 0;
};

}  // namespace lockstep::impl
