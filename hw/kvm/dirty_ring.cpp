// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/dirty_ring.h"

#include <fmt/format.h>

#include <cstring>

namespace lockstep::hw {
namespace {

constexpr std::uint32_t entries = dirty_ring_bytes / sizeof(kvm_dirty_gfn);
static_assert((entries & (entries - 1)) == 0, "KVM wants a power of two");

}  // namespace

Result<DirtyRing> DirtyRing::map(int vcpu) {
  DirtyRing made;
  made.ring_ = Mapping(dirty_ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu,
                       static_cast<off_t>(KVM_DIRTY_LOG_PAGE_OFFSET * page_size));
  if (!made.ring_) {
    return tl::unexpected(
        EngineError{fmt::format("mmap of a dirty ring: {}", std::strerror(errno))});
  }
  return made;
}

void DirtyRing::harvest() {
  auto* const ring = reinterpret_cast<kvm_dirty_gfn*>(ring_.data());
  for (;; ++next_) {
    kvm_dirty_gfn& entry = ring[next_ % entries];
    if ((__atomic_load_n(&entry.flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_MASK) !=
        KVM_DIRTY_GFN_F_DIRTY) {
      return;
    }
    // Bits 16 and up name the address space.
    harvested_.add(entry.slot & 0xffffu, entry.offset);
    __atomic_store_n(&entry.flags, static_cast<std::uint32_t>(KVM_DIRTY_GFN_F_RESET),
                     __ATOMIC_RELEASE);
  }
}

}  // namespace lockstep::hw
