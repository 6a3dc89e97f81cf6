// SPDX-License-Identifier: GPL-2.0-or-later
/// What a campaign draws.
#pragma once

#include <cstdint>

namespace lockstep::props {

/// Which cases a campaign is made of.
enum class Cases : std::uint8_t {
  any,              ///< random programs
  parallel,         ///< random programs with parallel blocks
  every_allocation  ///< random programs, again for each allocation of KVM that may fail
};

}  // namespace lockstep::props
