// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_command.h"

namespace lockstep::spec::text {

namespace {

bool parse_access(Cursor& cursor, PagingMode mode, Access& out) {
  if (!cursor.choice(out.kind, access_names, "an access") ||
      !cursor.number(out.gva, "a linear address")) {
    return false;
  }
  if (out.kind == AccessKind::write &&
      (!cursor.expect_symbol("=") || !cursor.number(out.value, "a value"))) {
    return false;
  }
  out.size = out.kind == AccessKind::fetch ? 8 : natural_size(mode);
  Options options(cursor);
  for (;;) {
    if (out.kind != AccessKind::fetch && options.key("size")) {
      if (!cursor.number(out.size, "a size in bytes")) return false;
    } else if (options.flag("ac")) {
      out.ac = true;
    } else {
      return !cursor.failed();
    }
  }
}

bool parse_load_cr3(Cursor& cursor, LoadCr3& out) {
  if (!cursor.number(out.root, "the gpa of a root table")) return false;
  Options options(cursor);
  for (;;) {
    if (options.key("pcid")) {
      if (!cursor.number(out.pcid, "a PCID")) return false;
    } else if (options.flag("noflush")) {
      out.noflush = true;
    } else {
      return !cursor.failed();
    }
  }
}

bool parse_invpcid(Cursor& cursor, Invpcid& out) {
  if (!cursor.choice(out.type, invpcid_names, "a type")) return false;
  Options options(cursor);
  for (;;) {
    if (options.key("pcid")) {
      if (!cursor.number(out.pcid, "a PCID")) return false;
    } else if (options.key("gva")) {
      if (!cursor.number(out.gva, "a linear address")) return false;
    } else {
      return !cursor.failed();
    }
  }
}

bool parse_set_control(Cursor& cursor, SetControl& out) {
  return cursor.choice(out.bit, control_names, "a control bit") && cursor.expect_symbol("=") &&
         cursor.choice(out.on, switch_names, "a switch");
}

}  // namespace

bool parse_vcpu_command(Cursor& cursor, PagingMode mode, unsigned vcpu, Command& command) {
  for (const auto& cpl : cpl_names) {
    if (!cursor.accept(cpl.word)) continue;
    return parse_access(cursor, mode,
                        command.emplace<Access>(Access{.vcpu = vcpu, .cpl = cpl.value}));
  }
  if (cursor.accept("entry")) {
    auto& entry = command.emplace<EntrySet>();
    entry.vcpu = vcpu;
    return parse_entry_set(cursor, mode, entry);
  }
  if (cursor.accept("cr3")) {
    return parse_load_cr3(cursor, command.emplace<LoadCr3>(LoadCr3{.vcpu = vcpu}));
  }
  if (cursor.accept("invlpg")) {
    return cursor.number(command.emplace<Invlpg>(Invlpg{vcpu, 0}).gva, "a linear address");
  }
  if (cursor.accept("invpcid")) {
    return parse_invpcid(cursor, command.emplace<Invpcid>(Invpcid{.vcpu = vcpu}));
  }
  if (cursor.accept("set")) {
    return parse_set_control(cursor, command.emplace<SetControl>(SetControl{.vcpu = vcpu}));
  }
  if (cursor.accept("pkru")) {
    return cursor.number(command.emplace<SetPkru>(SetPkru{vcpu, 0}).value, "the value of PKRU");
  }
  if (cursor.accept("translate")) {
    return cursor.number(command.emplace<Translate>(Translate{vcpu, 0}).gva, "a linear address");
  }
  return cursor.fail_listing("a vCPU command");
}

}  // namespace lockstep::spec::text
