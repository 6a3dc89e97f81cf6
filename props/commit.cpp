// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/commit.h"

namespace lockstep::props {

std::string_view lockstep_commit() {
#ifdef LOCKSTEP_COMMIT
  return LOCKSTEP_COMMIT;
#else
  return "unknown";
#endif
}

}  // namespace lockstep::props
