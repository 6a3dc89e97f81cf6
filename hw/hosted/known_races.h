// SPDX-License-Identifier: GPL-2.0-or-later
/// Plain accesses of KVM's own that race by intent: nothing orders them, nobody marks them,
/// and each is sound for the reason that stands beside it. Images of the flavour tsan meet
/// them in every campaign.
#pragma once

#include <span>
#include <string_view>

namespace lockstep::hw::hosted {

struct KnownRace {
  /// Functions one of which takes part, and functions the other of which does.
  std::span<const std::string_view> one, other;
  std::string_view reason;
};

std::span<const KnownRace> known_races();

/// The race of code at two places, as Image::symbol_of() names them ("make_spte+0x12");
/// null: it is none of those.
const KnownRace* known_race(std::string_view one, std::string_view other);

}  // namespace lockstep::hw::hosted
