// SPDX-License-Identifier: GPL-2.0-or-later
/// Protocols between threads of KVM's MMU, each with named defects.
///
/// These are models: locks, lists and commands are written here after the
/// functions of KVM that each names. Decisions are impl's own functions where
/// there is one, so that a defect of those shows here; impl's threads do not run.
#pragma once

#include "props/schedule/system.h"

namespace lockstep::props::schedule {

extern const System root_protocol;            ///< roots.cpp
extern const System memslot_protocol;         ///< memslots.cpp
extern const System write_tracking_protocol;  ///< write_tracking.cpp
extern const System split_protocol;           ///< split.cpp
extern const System notifier_protocol;        ///< notifier.cpp
extern const System dirty_log_protocol;       ///< dirty_log.cpp
extern const System unsync_protocol;          ///< unsync.cpp

}  // namespace lockstep::props::schedule
