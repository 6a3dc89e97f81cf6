// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/rmap.h"

namespace lockstep::impl {

bool RmapHead::remove(RmapPool& pool, SpteRef ref) {
  if (raw_ == 0) return false;
  if (!chained()) {
    if (raw_ - 1 != ref.value()) return false;
    raw_ = 0;
    return true;
  }
  RmapDescriptor& first = pool.at(index());
  SpteRef* found = nullptr;
  for (std::uint32_t at = index(); found == nullptr;) {
    RmapDescriptor& desc = pool.at(at);
    for (unsigned i = 0; i < desc.count && found == nullptr; ++i) {
      if (desc.entries[i] == ref) found = &desc.entries[i];
    }
    if (desc.behind == 0) break;
    at = desc.next;
  }
  if (found == nullptr) return false;
  // The last entry of the first descriptor fills the gap.
  first.count = (first.count - 1u) & 0xffu;
  *found = first.entries[first.count];
  if (first.behind == 0 && first.count == 1) {
    const std::uint32_t alone = first.entries[0].value() + 1;
    pool.adopt(index()).reset();
    raw_ = alone;
  } else if (first.count == 0) {
    const std::uint32_t next = first.next;
    pool.adopt(index()).reset();
    raw_ = chain_bit | next;
  }
  return true;
}

void RmapHead::clear(RmapPool& pool) {
  while (chained()) {
    const RmapDescriptor& first = pool.at(index());
    const bool more = first.behind != 0;
    const std::uint32_t next = first.next;
    pool.adopt(index()).reset();
    raw_ = more ? chain_bit | next : 0;
  }
  raw_ = 0;
}

}  // namespace lockstep::impl
