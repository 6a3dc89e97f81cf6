// SPDX-License-Identifier: GPL-2.0-or-later
/// Which Lockstep this is, for provenance.
#pragma once

#include <string_view>

namespace lockstep::props {

/// LOCKSTEP_COMMIT as the build defines it, else "unknown".
std::string_view lockstep_commit();

}  // namespace lockstep::props
