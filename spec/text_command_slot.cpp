// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_command.h"

namespace lockstep::spec::text {

namespace {

bool parse_add(Cursor& cursor, SlotAdd& out) {
  Options options(cursor);
  for (;;) {
    if (options.key("gpa")) {
      if (!cursor.number(out.gpa, "a gpa")) return false;
    } else if (options.key("size")) {
      if (!cursor.number(out.size, "a size in bytes")) return false;
    } else if (options.key("hva")) {
      if (!cursor.number(out.hva, "an offset in the host memory")) return false;
    } else if (options.flag("log")) {
      out.log = true;
    } else if (options.flag("ro")) {
      out.read_only = true;
    } else {
      break;
    }
  }
  if (!options.seen("gpa")) return cursor.fail("`gpa=` and an address");
  if (!options.seen("size")) return cursor.fail("`size=` and a number of bytes");
  if (!options.seen("hva")) out.hva = out.gpa;
  return !cursor.failed();
}

bool parse_move(Cursor& cursor, SlotMove& out) {
  if (!Options(cursor).key("gpa")) return cursor.fail_listing("where the slot moves");
  return cursor.number(out.gpa, "a gpa");
}

bool parse_flags(Cursor& cursor, SlotFlags& out) {
  if (cursor.accept("none")) return true;
  Options options(cursor);
  for (;;) {
    if (options.flag("log")) {
      out.log = true;
    } else if (options.flag("ro")) {
      out.read_only = true;
    } else {
      break;
    }
  }
  if (!out.log && !out.read_only) return cursor.fail_listing("a flag");
  return !cursor.failed();
}

bool parse_dirty_clear(Cursor& cursor, DirtyClear& out) {
  Options options(cursor);
  for (;;) {
    if (options.key("first")) {
      if (!cursor.number(out.first, "a page of the slot")) return false;
    } else if (options.key("count")) {
      if (!cursor.number(out.count, "a number of pages")) return false;
    } else {
      break;
    }
  }
  if (!options.seen("first")) return cursor.fail("`first=` and a page of the slot");
  if (!options.seen("count")) return cursor.fail("`count=` and a number of pages");
  return !cursor.failed();
}

}  // namespace

bool parse_slot_command(Cursor& cursor, Command& command) {
  unsigned id = 0;
  if (!cursor.number(id, "the number of a slot")) return false;
  if (cursor.accept("add")) return parse_add(cursor, command.emplace<SlotAdd>(SlotAdd{.id = id}));
  if (cursor.accept("delete")) {
    command = SlotDelete{id};
    return true;
  }
  if (cursor.accept("move")) return parse_move(cursor, command.emplace<SlotMove>(SlotMove{id, 0}));
  if (cursor.accept("flags")) {
    return parse_flags(cursor, command.emplace<SlotFlags>(SlotFlags{.id = id}));
  }
  if (cursor.accept("dirty-get")) {
    command = DirtyGet{id};
    return true;
  }
  if (cursor.accept("dirty-clear")) {
    return parse_dirty_clear(cursor, command.emplace<DirtyClear>(DirtyClear{id, 0, 0}));
  }
  return cursor.fail_listing("a slot command");
}

}  // namespace lockstep::spec::text
