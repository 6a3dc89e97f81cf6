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

}  // namespace lockstep::hw::hosted
