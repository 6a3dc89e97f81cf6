// SPDX-License-Identifier: GPL-2.0-or-later
/// Vm: what the host's memory management tells it.

#include "impl/mutants.h"
#include "impl/vm.h"

namespace lockstep::impl {

/// Call visit(slot, first gfn, end gfn) for each slot that maps the range.
template <typename Visit>
void Vm::each_range(Hva hva, std::uint64_t size, Visit&& visit) {
  const auto range = pages_of_bytes<std::uint64_t>(hva, hva + size);
  for (const auto& slot : slots_.all()) {
    const auto pages = pages_of_slot<std::uint64_t>(range, slot->hva >> page_shift, slot->pages);
    if (!pages.empty) visit(*slot, slot->base + pages.first, slot->base + pages.end);
  }
}

void Vm::invalidate_begin(Hva hva, std::uint64_t size) {
  const auto held = exclusive();
  invalidating_ = true;
  invalid_from_ = hva;
  invalid_to_ = hva + size;
  each_range(hva, size, [&](MemorySlot& slot, Gfn first, Gfn end) {
    host_unmapped_ += held.mmu().unmap_range(slot, first, end);
    host_unmapped_ += held.tdp().unmap_range(first, end);
  });
  held.tdp().reap();
}

void Vm::invalidate_end() {
  const auto held = exclusive();
  // Faults compare the number before they look at the range.
  invalidations_.fetch_add(1, std::memory_order_release);
  invalidating_ = false;
}

bool Vm::age(Hva hva, std::uint64_t size) {
  const auto held = exclusive();
  bool young = false;
  each_range(hva, size, [&](MemorySlot& slot, Gfn first, Gfn end) {
    young |= held.mmu().age_range(slot, first, end);
    young |= held.tdp().age_range(first, end);
  });
  return young;
}

void Vm::protect_host(Hva hva, std::uint64_t size, bool on) {
  // What was mapped read-only for a protected page would stay so for ever.
  invalidate_begin(hva, size);
  memory_.protect(hva, size, on);
  invalidate_end();
}

void Vm::recover_huge_pages() {
  constexpr std::uint64_t ratio = 60;  // KVM: nx_huge_pages_recovery_ratio
  const auto held = exclusive();
  NxList& list = held.mmu().nx();
  const std::uint64_t pages = (list.size() + ratio - 1) / ratio;
  ZapBatch batch(held.mmu());
  for (std::uint64_t i = 0; i < pages && list.first() != nullptr; ++i) {
    ShadowPage& page = *list.first();
    ++held.mmu().events().nx_recovered;
    if (page.tdp_mmu) {
      held.tdp().zap(page);
    } else {
      held.mmu().zap(batch, page);
    }
  }
  held.tdp().reap();
}

}  // namespace lockstep::impl
