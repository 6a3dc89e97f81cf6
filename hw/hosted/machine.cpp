// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/machine.h"

#include <fmt/format.h>

#include <cstring>

#include "hw/kvm/registers.h"

namespace lockstep::hw::hosted {
namespace {

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

std::optional<long> enable(const KernelFile& vm, std::uint32_t number, std::uint64_t argument) {
  kvm_enable_cap cap{};
  cap.cap = number;
  cap.args[0] = argument;
  return vm.ioctl(KVM_ENABLE_CAP, &cap);
}

}  // namespace

EngineError Machine::failed(const char* what, std::optional<long> result) {
  const std::string found = session_->findings();
  if (!result) return {fmt::format("{}: {}", what, found)};
  return {fmt::format("{}: {}{}{}", what, std::strerror(static_cast<int>(-*result)),
                      found.empty() ? "" : "; ", found)};
}

Result<void> Machine::configure(const Configuration& configuration) {
  // Older kernels lack it; then CPL 3 gets #UD.
  (void)enable(vm_, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1);
  if (const auto mode = manual_protect(configuration.dirty_log); mode != 0) {
    const auto set = enable(vm_, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, mode);
    if (set != 0) return tl::unexpected(failed("KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2", set));
  }
  if (configuration.dirty_log == DirtyLogMode::ring) {
    const auto set = enable(vm_, KVM_CAP_DIRTY_LOG_RING, ring_pages * page_size);
    if (set != 0) return tl::unexpected(failed("KVM_CAP_DIRTY_LOG_RING", set));
  }
  if (!configuration.slot_zap_all) {
    const auto set = enable(vm_, KVM_CAP_DISABLE_QUIRKS2, slot_zap_all_quirk);
    if (set != 0) return tl::unexpected(failed("KVM_CAP_DISABLE_QUIRKS2", set));
  }
  kvm_userspace_memory_region slot{};
  slot.slot = harness::first_slot;
  slot.guest_phys_addr = harness::base;
  slot.memory_size = harness_slot_size;
  slot.userspace_addr = session_->arena().harness_address(configuration.paging);
  const auto set = vm_.ioctl(KVM_SET_USER_MEMORY_REGION, &slot);
  if (set != 0) return tl::unexpected(failed("slot of the harness", set));
  return {};
}

Result<void> Machine::add_vcpu(unsigned index, const Configuration& configuration,
                               GuestCpuid& cpuid) {
  const auto made = vm_.ioctl(KVM_CREATE_VCPU, index);
  if (!made || *made < 0) return tl::unexpected(failed("KVM_CREATE_VCPU", made));
  MachineVcpu& vcpu = vcpus_.emplace_back();
  vcpu.file = session_->adopt(*made);
  vcpu.run = static_cast<kvm_run*>(vcpu.file.map(0));
  if (vcpu.run == nullptr) return tl::unexpected(failed("mmap of kvm_run", 0));
  if (configuration.dirty_log == DirtyLogMode::ring) {
    for (std::uint64_t page = 0; page < ring_pages; ++page) {
      vcpu.ring.push_back(
          static_cast<kvm_dirty_gfn*>(vcpu.file.map(KVM_DIRTY_LOG_PAGE_OFFSET + page)));
      if (vcpu.ring.back() == nullptr) return tl::unexpected(failed("mmap of a dirty ring", 0));
    }
  }
  const auto set = vcpu.file.ioctl(set_cpuid2, &cpuid.table());
  if (set != 0) return tl::unexpected(failed("KVM_SET_CPUID2", set));
  return {};
}

Result<std::unique_ptr<Machine>> Machine::create(Session& session,
                                                 const Configuration& configuration) {
  std::unique_ptr<Machine> machine(new Machine(session));
  const auto made = session.kvm().ioctl(KVM_CREATE_VM, 0);
  if (!made || *made < 0) return tl::unexpected(machine->failed("KVM_CREATE_VM", made));
  machine->vm_ = session.adopt(*made);
  if (auto done = machine->configure(configuration); !done) return tl::unexpected(done.error());
  GuestCpuid cpuid = session.cpuid();
  cpuid.set_maxphyaddr(configuration.maxphyaddr);
  machine->vcpus_.reserve(configuration.vcpus);
  for (unsigned index = 0; index < configuration.vcpus; ++index) {
    auto added = machine->add_vcpu(index, configuration, cpuid);
    if (!added) return tl::unexpected(added.error());
  }
  return machine;
}

std::optional<long> Machine::start(unsigned index, const Configuration& configuration, Gpa root) {
  MachineVcpu& vcpu = vcpus_[index];
  kvm_sregs sregs{};
  if (const auto got = vcpu.file.ioctl(KVM_GET_SREGS, &sregs); got != 0) return got;
  set_initial(sregs, configuration, root, index);
  if (const auto set = vcpu.file.ioctl(KVM_SET_SREGS, &sregs); set != 0) return set;
  vcpu.control = {sregs.cr0, sregs.cr4, sregs.efer};
  vcpu.started = true;
  return 0;
}

void Machine::drop_events(unsigned index) {
  kvm_vcpu_events none{};
  (void)vcpus_[index].file.ioctl(KVM_SET_VCPU_EVENTS, &none);
}

std::optional<long> Machine::set_slot(const UserSlots::Region& region) {
  kvm_userspace_memory_region slot{};
  slot.slot = region.id;
  slot.flags =
      (region.log ? KVM_MEM_LOG_DIRTY_PAGES : 0u) | (region.read_only ? KVM_MEM_READONLY : 0u);
  slot.guest_phys_addr = region.gpa;
  slot.memory_size = region.size;
  slot.userspace_addr = session_->arena().hva_base() + region.hva;
  return vm_.ioctl(KVM_SET_USER_MEMORY_REGION, &slot);
}

std::optional<long> Machine::get_dirty(unsigned id, std::span<std::uint64_t> words) {
  kvm_dirty_log log{};
  log.slot = id;
  log.dirty_bitmap = words.data();
  return vm_.ioctl(KVM_GET_DIRTY_LOG, &log);
}

std::optional<long> Machine::clear_dirty(unsigned id, std::uint64_t first, std::uint32_t count,
                                         std::span<std::uint64_t> words) {
  kvm_clear_dirty_log log{};
  log.slot = id;
  log.first_page = first;
  log.num_pages = count;
  log.dirty_bitmap = words.data();
  return vm_.ioctl(KVM_CLEAR_DIRTY_LOG, &log);
}

std::optional<long> Machine::collect(DirtyPages& pages) {
  for (MachineVcpu& vcpu : vcpus_) {
    if (vcpu.ring.empty()) continue;
    for (;; ++vcpu.ring_next) {
      const std::uint64_t at = vcpu.ring_next % (ring_pages * ring_page_entries);
      kvm_dirty_gfn& entry = vcpu.ring[at / ring_page_entries][at % ring_page_entries];
      if ((entry.flags & KVM_DIRTY_GFN_F_DIRTY) == 0) break;
      pages.add(entry.slot & 0xffff, entry.offset);
      entry.flags = KVM_DIRTY_GFN_F_RESET;
    }
  }
  return vm_.ioctl(KVM_RESET_DIRTY_RINGS, 0);
}

}  // namespace lockstep::hw::hosted
