// SPDX-License-Identifier: GPL-2.0-or-later
/// What all vCPUs of a virtual machine share.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "impl/error.h"
#include "impl/host_memory.h"
#include "impl/memslot.h"
#include "impl/shadow_mmu.h"
#include "spec/vocabulary/configuration.h"

namespace lockstep::impl {

struct VmSettings {
  bool tdp = false;
  DirtyLogMode dirty_log = DirtyLogMode::plain;
  /// Soft limit of shadow pages. KVM: kvm_mmu_calculate_default_mmu_pages().
  std::uint64_t shadow_page_limit = 4096;
  SlotTable::Limits slot_limits{};
};

/// KVM: struct kvm. Single-threaded in this part.
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

  /// KVM_SET_NR_MMU_PAGES.
  Expected<void> set_page_limit(std::uint64_t pages);

  /// What maps the host pages [hva, hva + size) goes, because they move or are
  /// given back. KVM: kvm_mmu_notifier_invalidate_range_start().
  void unmap_host(Hva hva, std::uint64_t size);
  /// The host lets nobody write the pages any more, or again: a guest store
  /// then fails with bad_address, or becomes MMIO if it is emulated.
  void protect_host(Hva hva, std::uint64_t size, bool on);
  bool host_protects(Hva hva) const {
    const Hfn page = hva >> page_shift;
    return page < host_protected_.size() && host_protected_[page];
  }
  /// Leaf SPTEs that unmap_host() dropped.
  std::uint64_t host_unmapped() const { return host_unmapped_; }

  /// Where a gpa stands in host memory; null without a slot or memory.
  struct Place {
    MemorySlot* slot = nullptr;
    Hva hva = 0;
    explicit operator bool() const { return slot != nullptr; }
  };
  Place place(Gpa gpa);

  enum class Store : std::uint8_t { done, mmio };
  /// Store by the guest (or for it, by the emulator): memory, dirty log, and
  /// the shadow pages that follow this gfn. mmio without a slot, if it is
  /// read-only, or if the host protects the page. KVM: emulator_write_phys().
  Store guest_store(Gpa gpa, unsigned size, std::uint64_t value);

  const VmSettings& settings() const { return settings_; }
  HostMemory& memory() { return memory_; }
  ShadowMmu& mmu() { return mmu_; }
  SlotTable& slots() { return slots_; }
  /// Stores to gfns that shadow pages follow.
  std::uint64_t tracked_stores() const { return tracked_stores_; }

 private:
  Expected<void> create(const MemoryRegion& region);
  void remove(std::uint64_t id);
  Expected<void> move(const MemoryRegion& region);
  Expected<void> change_flags(const MemoryRegion& region);
  Expected<void> set_logging(MemorySlot& slot, bool log);
  void protect_slot(MemorySlot& slot);
  bool protect_word(MemorySlot& slot, std::uint64_t word, std::uint64_t mask);

  HostMemory memory_;
  VmSettings settings_;
  SlotTable slots_;
  ShadowMmu mmu_;
  std::uint64_t tracked_stores_ = 0;
  std::uint64_t host_unmapped_ = 0;
  std::vector<bool> host_protected_;  ///< by host page; absent is false
};

}  // namespace lockstep::impl
