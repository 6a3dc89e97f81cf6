// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/vm.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace lockstep::hw {
namespace {

// Pages that KVM keeps inside the guest on Intel processors without
// unrestricted guest mode; behind the harness slot.
constexpr Gpa task_state_page = harness::base + 0x20'0000;
constexpr std::uint64_t identity_map_page = harness::base + 0x21'0000;

EngineError failed(const char* what, int error) {
  return {fmt::format("{}: {}", what, std::strerror(error))};
}

Call create_vm(int kvm) {
  // KVM_CREATE_VM may be interrupted while it waits for the first VM's
  // hardware setup.
  Call fd = kvm_call(kvm, KVM_CREATE_VM, 0);
  for (int again = 0; again < 10 && !fd && fd.error() == EINTR; ++again) {
    fd = kvm_call(kvm, KVM_CREATE_VM, 0);
  }
  return fd;
}

std::uint64_t manual_protect(DirtyLogMode mode) {
  switch (mode) {
    case DirtyLogMode::plain:
    case DirtyLogMode::ring:
      return 0;
    case DirtyLogMode::manual:
      return KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE;
    case DirtyLogMode::manual_all_set:
      return KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
  }
  return 0;
}

Call enable(int vm, std::uint32_t number, std::uint64_t argument) {
  kvm_enable_cap cap{};
  cap.cap = number;
  cap.args[0] = argument;
  return kvm_call(vm, KVM_ENABLE_CAP, &cap);
}

}  // namespace

VmKey VmKey::of(const Configuration& configuration) {
  return {.paging = configuration.paging,
          .vcpus = configuration.vcpus,
          .maxphyaddr = configuration.maxphyaddr,
          .dirty_log = configuration.dirty_log,
          .slot_zap_all = configuration.slot_zap_all};
}

Call Vm::configure() {
  // Both fail on processors that do not need them.
  std::uint64_t identity = identity_map_page;
  (void)kvm_call(fd_.get(), KVM_SET_IDENTITY_MAP_ADDR, &identity);
  (void)kvm_call(fd_.get(), KVM_SET_TSS_ADDR, task_state_page);
  // At CPL 3, KVM otherwise turns a failed emulation into #UD. Older kernels
  // lack the capability and do that.
  (void)enable(fd_.get(), KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
  if (const std::uint64_t mode = manual_protect(key_.dirty_log); mode != 0) {
    if (const Call set = enable(fd_.get(), KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, mode); !set) {
      return set;
    }
  }
  if (key_.dirty_log == DirtyLogMode::ring) {
    const Call set = enable(fd_.get(), KVM_CAP_DIRTY_LOG_RING, dirty_ring_bytes);
    if (!set) return set;
  }
  if (!key_.slot_zap_all) {
    if (const Call set = enable(fd_.get(), KVM_CAP_DISABLE_QUIRKS2, slot_zap_all_quirk); !set) {
      return set;
    }
  }
  kvm_userspace_memory_region slot{};
  slot.slot = harness::first_slot;
  slot.guest_phys_addr = harness::base;
  slot.memory_size = harness_.size();
  slot.userspace_addr = reinterpret_cast<std::uintptr_t>(harness_.data());
  return kvm_call(fd_.get(), KVM_SET_USER_MEMORY_REGION, &slot);
}

Result<std::unique_ptr<Vm>> Vm::create(int kvm, const VmKey& key, GuestStyle style,
                                       GuestCpuid cpuid) {
  std::unique_ptr<Vm> vm(new Vm(key));
  vm->harness_ =
      Mapping(harness_slot_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (!vm->harness_) return tl::unexpected(failed("mmap of the harness", errno));
  build_guest_image(vm->harness_.bytes(), key.paging);
  const Call fd = create_vm(kvm);
  if (!fd) return tl::unexpected(failed("KVM_CREATE_VM", fd.error()));
  vm->fd_ = Fd(*fd);
  if (const Call set = vm->configure(); !set) {
    return tl::unexpected(failed("configuration of a new VM", set.error()));
  }
  cpuid.set_maxphyaddr(key.maxphyaddr);
  for (unsigned index = 0; index < key.vcpus; ++index) {
    auto vcpu = Vcpu::create(kvm, *fd, index, key.paging, style, cpuid, vm->harness_.bytes());
    if (!vcpu) return tl::unexpected(vcpu.error());
    if (key.dirty_log == DirtyLogMode::ring) {
      if (auto ring = vcpu->open_ring(*fd); !ring) return tl::unexpected(ring.error());
    }
    vm->vcpus_.push_back(std::move(*vcpu));
  }
  return vm;
}

Call Vm::set_slot(const UserSlots::Region& region, std::byte* host) {
  kvm_userspace_memory_region slot{};
  slot.slot = region.id;
  slot.flags =
      (region.log ? KVM_MEM_LOG_DIRTY_PAGES : 0u) | (region.read_only ? KVM_MEM_READONLY : 0u);
  slot.guest_phys_addr = region.gpa;
  slot.memory_size = region.size;
  slot.userspace_addr = reinterpret_cast<std::uintptr_t>(host) + region.hva;
  const Call set = kvm_call(fd_.get(), KVM_SET_USER_MEMORY_REGION, &slot);
  if (set && region.size == 0) live_slots_.erase(region.id);
  if (set && region.size != 0) live_slots_.insert(region.id);
  return set;
}

Call Vm::get_dirty(unsigned id, std::span<std::uint64_t> words) {
  kvm_dirty_log log{};
  log.slot = id;
  log.dirty_bitmap = words.data();
  return kvm_call(fd_.get(), KVM_GET_DIRTY_LOG, &log);
}

Call Vm::clear_dirty(unsigned id, std::uint64_t first, std::uint32_t count,
                     std::span<std::uint64_t> words) {
  kvm_clear_dirty_log log{};
  log.slot = id;
  log.first_page = first;
  log.num_pages = count;
  log.dirty_bitmap = words.data();
  return kvm_call(fd_.get(), KVM_CLEAR_DIRTY_LOG, &log);
}

Call Vm::collect(DirtyPages& into) {
  for (Vcpu& vcpu : vcpus_) {
    vcpu.ring()->harvest();
    for (const DirtyPages::Slot& slot : vcpu.ring()->take().slots) {
      for (std::uint64_t page = 0; page < slot.words.size() * 64; ++page) {
        if (((slot.words[page / 64] >> (page % 64)) & 1u) != 0) into.add(slot.id, page);
      }
    }
  }
  return kvm_call(fd_.get(), KVM_RESET_DIRTY_RINGS, 0);
}

Call Vm::set_mmu_pages(std::uint64_t pages) {
  mmu_pages_set_ = true;
  return kvm_call(fd_.get(), KVM_SET_NR_MMU_PAGES, pages);
}

Call Vm::clean() {
  for (Vcpu& vcpu : vcpus_) vcpu.stop();
  if (std::exchange(mmu_pages_set_, false)) {
    // About what KVM itself gives VMs as small as these, which it no longer
    // does: kvm_arch_commit_memory_region().
    const Call back = kvm_call(fd_.get(), KVM_SET_NR_MMU_PAGES, least_mmu_pages);
    if (!back) return back;
  }
  while (!live_slots_.empty()) {
    kvm_userspace_memory_region slot{};
    slot.slot = *live_slots_.begin();
    if (const Call gone = kvm_call(fd_.get(), KVM_SET_USER_MEMORY_REGION, &slot); !gone) {
      return gone;
    }
    live_slots_.erase(live_slots_.begin());
  }
  if (key_.dirty_log == DirtyLogMode::ring) {
    DirtyPages forgotten;
    return collect(forgotten);
  }
  return 0;
}

}  // namespace lockstep::hw
