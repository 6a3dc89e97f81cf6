// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/cpu/tlb.h"

namespace lockstep::spec {

void Tlb::invalidate_page(Gva gva, unsigned pcid, bool globals) {
  for (Slot& slot : slots_) {
    if (!live(slot)) continue;
    if (slot.entry.guest.global ? !globals : slot.pcid != pcid) continue;
    const std::uint64_t mask = ~(slot.entry.guest.size - 1);
    if (((slot.page << page_shift ^ gva) & mask) == 0) slot.generation = 0;
  }
}

void Tlb::invalidate_page(Gva gva) {
  for (Slot& slot : slots_) {
    const std::uint64_t mask = ~(slot.entry.guest.size - 1);
    if (live(slot) && ((slot.page << page_shift ^ gva) & mask) == 0) slot.generation = 0;
  }
}

void Tlb::flush_pcid(unsigned pcid) {
  for (Slot& slot : slots_) {
    if (!slot.entry.guest.global && slot.pcid == pcid) slot.generation = 0;
  }
}

void Tlb::flush_nonglobal() {
  for (Slot& slot : slots_) {
    if (!slot.entry.guest.global) slot.generation = 0;
  }
}

void Tlb::flush_context(std::uint64_t context) {
  for (Slot& slot : slots_) {
    if (slot.context == context) slot.generation = 0;
  }
}

}  // namespace lockstep::spec
