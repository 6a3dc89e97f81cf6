// SPDX-License-Identifier: GPL-2.0-or-later
/// Commands as text.
#pragma once

#include "spec/command.h"
#include "spec/text_cursor.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::spec::text {

/// Bytes of an access whose size the text leaves out.
constexpr unsigned natural_size(PagingMode mode) {
  return mode == PagingMode::level4 || mode == PagingMode::level5 ? 8 : 4;
}

/// One command, up to its expectation, comment or end of line. The mode decides
/// which entry bits and page sizes exist.
bool parse_command(Cursor& cursor, PagingMode mode, Command& command);

/// The part of a command behind `slot` and behind `v0`.
bool parse_slot_command(Cursor& cursor, Command& command);
bool parse_vcpu_command(Cursor& cursor, PagingMode mode, unsigned vcpu, Command& command);

/// What follows the word `entry`.
bool parse_entry_set(Cursor& cursor, PagingMode mode, EntrySet& out);

}  // namespace lockstep::spec::text
