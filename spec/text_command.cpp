// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_command.h"

#include <fmt/format.h>

#include "spec/text_entry.h"
#include "spec/text_host.h"

namespace lockstep::spec::text {

namespace {

bool parse_poke(Cursor& cursor, Poke& out) {
  if (!cursor.number(out.gpa, "a gpa") || !cursor.expect_symbol("=") ||
      !cursor.number(out.value, "a value")) {
    return false;
  }
  Options options(cursor);
  for (;;) {
    if (options.key("size")) {
      if (!cursor.number(out.size, "a size in bytes")) return false;
    } else if (options.flag("host-poke")) {
      out.host_poke = true;
    } else {
      return !cursor.failed();
    }
  }
}

bool parse_peek(Cursor& cursor, Peek& out) {
  if (!cursor.number(out.gpa, "a gpa")) return false;
  if (Options(cursor).key("size")) return cursor.number(out.size, "a size in bytes");
  return !cursor.failed();
}

bool parse_page_size(Cursor& cursor, PagingMode mode, TableLevel& level) {
  if (cursor.accept("4k")) {
    level = TableLevel::pt;
  } else if (cursor.accept(mode == PagingMode::bits32 ? "4m" : "2m")) {
    level = TableLevel::pd;
  } else if (mode != PagingMode::bits32 && mode != PagingMode::pae && cursor.accept("1g")) {
    level = TableLevel::pdpt;
  } else {
    return cursor.fail_listing("a page size of the paging mode");
  }
  return true;
}

bool parse_map(Cursor& cursor, PagingMode mode, Map& out) {
  if (!cursor.number(out.gva, "a linear address")) return false;
  Options options(cursor);
  bool rights = false;
  while (!cursor.failed()) {
    if (options.key("gpa")) {
      if (!cursor.number(out.gpa, "a gpa")) return false;
    } else if (options.key("size")) {
      if (!parse_page_size(cursor, mode, out.level)) return false;
    } else if (parse_entry_option(cursor, options, mode, out.rights)) {
      continue;
    } else if (!rights && !cursor.word().empty()) {
      if (!options.seen("gpa")) return cursor.fail_listing("`gpa=` and an address");
      if (!parse_rights(cursor, mode, out.rights)) return false;
      rights = true;
    } else {
      break;
    }
  }
  if (!options.seen("gpa")) return cursor.fail("`gpa=` and an address");
  if (!rights) return cursor.fail("rights such as `rwxu` or `r-x-`");
  return !cursor.failed();
}

bool parse_root_entry(Cursor& cursor, PagingMode mode, unsigned& index) {
  const std::string_view root = word_of(level_names, root_level(mode));
  if (!cursor.accept(root)) return cursor.fail(fmt::format("`{}`, the root of this mode", root));
  return cursor.expect_symbol("[") && cursor.number(index, "an index") && cursor.expect_symbol("]");
}

bool parse_alias_table(Cursor& cursor, PagingMode mode, AliasTable& out) {
  if (!parse_root_entry(cursor, mode, out.index) || !cursor.expect_symbol("=") ||
      !parse_root_entry(cursor, mode, out.of) || !parse_rights(cursor, mode, out.rights)) {
    return false;
  }
  Options options(cursor);
  while (parse_entry_option(cursor, options, mode, out.rights)) {
  }
  return !cursor.failed();
}

}  // namespace

bool parse_entry_set(Cursor& cursor, PagingMode mode, EntrySet& out) {
  return cursor.choice(out.level, level_names, "a level") &&
         cursor.number(out.table, "the gpa of a table") && cursor.expect_symbol("[") &&
         cursor.number(out.index, "an index") && cursor.expect_symbol("]") &&
         cursor.expect_symbol("=") && parse_entry(cursor, mode, out.value);
}

bool parse_command(Cursor& cursor, PagingMode mode, Command& command) {
  const std::string_view word = cursor.word();
  if (word.size() >= 2 && word[0] == 'v' && word[1] >= '0' && word[1] <= '9') {
    std::uint64_t vcpu = 0;
    if (word.size() > 4 || parse_number(word.substr(1), vcpu) != NumberFault::none) {
      return cursor.fail("a vCPU such as `v0`");
    }
    cursor.take_word();
    return parse_vcpu_command(cursor, mode, static_cast<unsigned>(vcpu), command);
  }
  if (cursor.accept("slot")) return parse_slot_command(cursor, command);
  if (cursor.accept("poke")) return parse_poke(cursor, command.emplace<Poke>());
  if (cursor.accept("peek")) return parse_peek(cursor, command.emplace<Peek>());
  if (cursor.accept("entry")) return parse_entry_set(cursor, mode, command.emplace<EntrySet>());
  if (cursor.accept("map")) return parse_map(cursor, mode, command.emplace<Map>());
  if (cursor.accept("alias-table")) {
    return parse_alias_table(cursor, mode, command.emplace<AliasTable>());
  }
  if (cursor.accept("ring-collect")) {
    command = RingCollect{};
    return true;
  }
  if (cursor.accept("mmu-pages")) {
    return cursor.number(command.emplace<MmuPages>().pages, "a number of shadow pages");
  }
  if (cursor.accept("host")) return parse_host_change(cursor, command.emplace<HostChange>());
  if (cursor.accept("shrink")) {
    return cursor.number(command.emplace<Shrink>().objects, "a number of shadow pages to scan");
  }
  if (cursor.accept("nx-recover")) {
    command = NxRecover{};
    return true;
  }
  if (word == "config" || word == "title") {
    return cursor.fail(fmt::format("a command (`{}` stands before the first command)", word));
  }
  cursor.accept("v0");
  return cursor.fail_listing("a command");
}

}  // namespace lockstep::spec::text
