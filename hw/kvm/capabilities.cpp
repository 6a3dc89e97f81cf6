// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/capabilities.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace lockstep::hw {
namespace {

constexpr std::uint32_t address_sizes_leaf = 0x8000'0008;

struct Required {
  int number;
  const char* name;
  int bits;  ///< that the returned value must have
  const char* since;
};

constexpr Required required[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", 1, "2.6.25"},
    {KVM_CAP_SYNC_REGS, "KVM_CAP_SYNC_REGS", KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS, "4.17"},
    {KVM_CAP_BINARY_STATS_FD, "KVM_CAP_BINARY_STATS_FD", 1, "5.14"},
};

std::string open_failure(const char* path, int error) {
  switch (error) {
    case ENOENT:
      return fmt::format(
          "{} does not exist: load kvm with kvm_intel or kvm_amd, and enable virtualization in the "
          "firmware (or nesting, inside a virtual machine)",
          path);
    case EACCES:
    case EPERM:
      return fmt::format(
          "no permission to open {}: join the group that owns it (often kvm), or "
          "run as root",
          path);
    case ENODEV:
    case ENXIO:
      return fmt::format("{} has no driver behind it: load kvm_intel or kvm_amd", path);
    default:
      return fmt::format("open {}: {}", path, std::strerror(error));
  }
}

}  // namespace

Result<GuestCpuid> GuestCpuid::supported(int kvm) {
  GuestCpuid cpuid;
  if (const Call got = kvm_call(kvm, get_supported_cpuid, &cpuid.table_); !got) {
    return tl::unexpected(
        EngineError{fmt::format("KVM_GET_SUPPORTED_CPUID: {}", std::strerror(got.error()))});
  }
  return cpuid;
}

void GuestCpuid::keep(std::span<const std::uint32_t> leaves) {
  const auto all = std::span(table_.entries).first(table_.count);
  const auto gone = std::ranges::remove_if(all, [&](const kvm_cpuid_entry2& entry) {
    return std::ranges::find(leaves, entry.function) == leaves.end();
  });
  table_.count -= static_cast<std::uint32_t>(gone.size());
}

const kvm_cpuid_entry2* GuestCpuid::find(std::uint32_t leaf) const {
  for (const kvm_cpuid_entry2& entry : std::span(table_.entries).first(table_.count)) {
    if (entry.function == leaf && entry.index == 0) return &entry;
  }
  return nullptr;
}

bool GuestCpuid::has(std::uint32_t leaf, CpuidRegister which, unsigned bit) const {
  const kvm_cpuid_entry2* const entry = find(leaf);
  if (entry == nullptr) return false;
  const std::uint32_t registers[] = {entry->eax, entry->ebx, entry->ecx, entry->edx};
  return (registers[static_cast<std::size_t>(which)] >> bit) & 1u;
}

unsigned GuestCpuid::maxphyaddr() const {
  const kvm_cpuid_entry2* const entry = find(address_sizes_leaf);
  // Without the leaf, PAE processors have 36 bits: SDM "CPUID".
  return entry == nullptr ? 36 : entry->eax & 0xffu;
}

bool GuestCpuid::amd() const {
  constexpr std::uint32_t auth = 0x6874'7541;  // "Auth" of AuthenticAMD
  constexpr std::uint32_t hygo = 0x6f67'7948;  // "Hygo" of HygonGenuine
  const kvm_cpuid_entry2* const vendor = find(0);
  return vendor != nullptr && (vendor->ebx == auth || vendor->ebx == hygo);
}

void GuestCpuid::set_maxphyaddr(unsigned bits) {
  for (kvm_cpuid_entry2& entry : std::span(table_.entries).first(table_.count)) {
    if (entry.function == address_sizes_leaf) entry.eax = (entry.eax & ~0xffu) | bits;
  }
}

std::string GuestCpuid::summary() const {
  std::string text;
  for (const std::uint32_t leaf : {0x1u, 0x7u, 0x8000'0001u, address_sizes_leaf}) {
    const kvm_cpuid_entry2* const entry = find(leaf);
    if (entry == nullptr) continue;
    // EBX of leaf 1 names the processor that happened to answer.
    text += fmt::format("{}{:x}:{:x},{:x},{:x},{:x}", text.empty() ? "" : " ", leaf, entry->eax,
                        leaf == 1 ? 0 : entry->ebx, entry->ecx, entry->edx);
  }
  return text;
}

Call GuestCpuid::apply(int vcpu) { return kvm_call(vcpu, set_cpuid2, &table_); }

int capability(int kvm, int number) {
  return kvm_call(kvm, KVM_CHECK_EXTENSION, number).value_or(0);
}

std::vector<std::pair<std::string, int>> capabilities(int kvm) {
  static constexpr std::pair<int, const char*> known[] = {
      {KVM_CAP_NR_MEMSLOTS, "NR_MEMSLOTS"},
      {KVM_CAP_MAX_VCPUS, "MAX_VCPUS"},
      {KVM_CAP_SYNC_MMU, "SYNC_MMU"},
      {KVM_CAP_SYNC_REGS, "SYNC_REGS"},
      {KVM_CAP_READONLY_MEM, "READONLY_MEM"},
      {KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, "MANUAL_DIRTY_LOG_PROTECT2"},
      {KVM_CAP_DIRTY_LOG_RING, "DIRTY_LOG_RING"},
      {KVM_CAP_BINARY_STATS_FD, "BINARY_STATS_FD"},
      {KVM_CAP_EXIT_ON_EMULATION_FAILURE, "EXIT_ON_EMULATION_FAILURE"},
      {KVM_CAP_X86_SMM, "X86_SMM"},
      {KVM_CAP_MULTI_ADDRESS_SPACE, "MULTI_ADDRESS_SPACE"},
      {KVM_CAP_NESTED_STATE, "NESTED_STATE"},
      {KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, "VM_DISABLE_NX_HUGE_PAGES"},
  };
  std::vector<std::pair<std::string, int>> found;
  for (const auto& [number, name] : known) found.emplace_back(name, capability(kvm, number));
  return found;
}

Result<Fd> open_kvm(const char* path) {
  Fd kvm(::open(path, O_RDWR | O_CLOEXEC));
  if (!kvm) return tl::unexpected(EngineError{open_failure(path, errno)});
  const Call version = kvm_call(kvm.get(), KVM_GET_API_VERSION, 0);
  if (!version) {
    return tl::unexpected(EngineError{
        fmt::format("{} does not answer KVM_GET_API_VERSION ({}): it is not the KVM device", path,
                    std::strerror(version.error()))});
  }
  if (*version != KVM_API_VERSION) {
    return tl::unexpected(EngineError{
        fmt::format("KVM API version {}, expected {}: boot a kernel whose KVM is stable", *version,
                    KVM_API_VERSION)});
  }
  for (const Required& need : required) {
    if ((capability(kvm.get(), need.number) & need.bits) != need.bits) {
      return tl::unexpected(
          EngineError{fmt::format("KVM lacks {}: boot Linux {} or later", need.name, need.since)});
    }
  }
  return kvm;
}

}  // namespace lockstep::hw
