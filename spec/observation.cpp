// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/observation.h"

#include <algorithm>

namespace lockstep {

void DirtyPages::add(unsigned slot, std::uint64_t page) {
  auto found = std::lower_bound(slots.begin(), slots.end(), slot,
                                [](const Slot& one, unsigned id) { return one.id < id; });
  if (found == slots.end() || found->id != slot) found = slots.insert(found, Slot{slot, {}});
  std::vector<std::uint64_t>& words = found->words;
  if (words.size() <= page / 64) words.resize(page / 64 + 1);
  words[page / 64] |= 1ull << (page % 64);
}

}  // namespace lockstep
