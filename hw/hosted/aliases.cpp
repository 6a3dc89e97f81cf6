// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/aliases.h"

#include <algorithm>

namespace lockstep::hw::hosted {

void Aliases::add(Gpa gpa, Hva hva, std::uint64_t size) {
  if (size == 0) return;
  met_ = met_ || std::ranges::any_of(mapped_, [&](const Mapped& other) {
           const bool shares = hva < other.hva + other.size && other.hva < hva + size;
           return shares && gpa - hva != other.gpa - other.hva;
         });
  mapped_.push_back({gpa, hva, size});
}

bool Aliases::shares(Gfn gfn) const {
  if (!met_) return false;
  constexpr std::uint64_t huge = 512;
  const Gpa first = gfn_to_gpa(gfn);
  const Gpa end = first + (gfn % huge == 0 ? huge : 1) * page_size;
  return std::ranges::any_of(mapped_, [&](const Mapped& one) {
    const Gpa from = std::max(first, one.gpa);
    const Gpa to = std::min(end, one.gpa + one.size);
    if (from >= to) return false;
    const Hva hva = one.hva + (from - one.gpa);
    return std::ranges::any_of(mapped_, [&](const Mapped& other) {
      const bool overlaps = hva < other.hva + other.size && other.hva < hva + (to - from);
      return overlaps && other.gpa - other.hva != one.gpa - one.hva;
    });
  });
}

}  // namespace lockstep::hw::hosted
