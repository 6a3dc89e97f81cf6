// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/theorems/theorems.h"

#include <iterator>
#include <utility>

namespace lockstep::smt {

const std::vector<Theorem>& theorems() {
  static const std::vector<Theorem> all = [] {
    std::vector<Theorem> joined;
    for (auto subject :
         {permission_theorems, reserved_bit_theorems, shadow_geometry_theorems, mmio_theorems,
          access_track_theorems, leaf_theorems, range_theorems, role_theorems, cache_theorems,
          cache_protocol_theorems, root_protocol_theorems, fault_protocol_theorems}) {
      auto some = subject();
      joined.insert(joined.end(), std::make_move_iterator(some.begin()),
                    std::make_move_iterator(some.end()));
    }
    return joined;
  }();
  return all;
}

}  // namespace lockstep::smt
