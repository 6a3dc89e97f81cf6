// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/page_walk_matrix_walk.h"

#include <fmt/format.h>

#include <string_view>

namespace lockstep::props {
namespace {

constexpr std::array<std::string_view, 6> table_names = {"", "pt", "pd", "pdpt", "pml4", "pml5"};

std::string fault_words(std::uint32_t code) {
  std::string text;
  const auto say = [&](std::uint32_t bit, std::string_view word) {
    if ((code & bit) != 0) text += fmt::format(" {}", word);
  };
  say(fault::present, "present");
  say(fault::write, "write");
  say(fault::user, "user");
  say(fault::reserved, "rsvd");
  say(fault::fetch, "fetch");
  say(fault::protection_key, "pk");
  return text;
}

std::string rights_words(const spec::Combined& rights) {
  return fmt::format("{}{}{}", rights.writable ? 'w' : '-', rights.executable ? 'x' : '-',
                     rights.user ? 'u' : '-');
}

std::string reading(const spec::EntryRead& read) {
  switch (read.kind) {
    case spec::EntryRead::Kind::not_present:
      return "not present";
    case spec::EntryRead::Kind::reserved:
      return "reserved bit set";
    case spec::EntryRead::Kind::table:
      return fmt::format("table 0x{:x} {}", read.next, rights_words(read.rights));
    case spec::EntryRead::Kind::leaf:
      return fmt::format("page 0x{:x} size=0x{:x} {} key {}", read.leaf.page, read.leaf.size,
                         rights_words(read.rights), read.leaf.protection_key);
  }
  return {};
}

}  // namespace

std::string print(const WalkAnswer& answer) {
  switch (answer.kind) {
    case WalkAnswer::Kind::translated:
      return fmt::format("ok gpa=0x{:x} size=0x{:x} {}", answer.gpa, answer.page_size,
                         rights_words(answer.rights));
    case WalkAnswer::Kind::page_fault:
      return "#PF" + fault_words(answer.code);
    case WalkAnswer::Kind::load_gp:
      return "#GP at the load of CR3";
  }
  return {};
}

MatrixRegisters::MatrixRegisters(const MatrixCase& c) {
  spec.mode = c.mode;
  spec.control = matrix_control(c.flags);
  spec.maxphyaddr = c.maxphyaddr;
  spec.gigabyte_pages = has(c.flags, MatrixFlag::page1gb);
  spec.pse36_width = has(c.flags, MatrixFlag::pse36) ? 40 : 32;
  spec.pkru = matrix_pkru(c);
  impl = impl::make_walk_tables({.mode = c.mode,
                                 .control = spec.control,
                                 .maxphyaddr = c.maxphyaddr,
                                 .gigabyte_pages = spec.gigabyte_pages,
                                 .pse36 = has(c.flags, MatrixFlag::pse36)});
  impl_pdpte_reserved = impl::pdpte_reserved(c.maxphyaddr);
}

MatrixTables matrix_tables(const MatrixCase& c) {
  MatrixTables tables;
  tables.layout = &matrix_layout(c.mode);
  tables.entry_bytes = entry_size(c.mode);
  for (unsigned level = matrix_root(c.mode); level >= 1; --level) {
    tables.entry[level] = matrix_entry_in_memory(c, level, *tables.layout);
  }
  return tables;
}

WalkAnswer spec_walk(const spec::PagingState& state, const MatrixTables& tables,
                     const spec::AccessRights& access) {
  WalkAnswer answer;
  const Gva gva = tables.layout->gva;
  auto level = root_level(state.mode);
  Gpa table = tables.layout->table[static_cast<unsigned>(level)];
  spec::Combined granted;
  for (;; level = static_cast<TableLevel>(static_cast<unsigned>(level) - 1)) {
    const auto depth = static_cast<unsigned>(level);
    const Gpa at = spec::entry_address(state.mode, level, table, gva);
    const std::uint64_t value = tables.read(at);
    const bool is_register = state.mode == PagingMode::pae && level == TableLevel::pdpt;
    // Memory does not take part in the walk where a PDPTE register stands for it.
    answer.last_level = is_register ? 0 : depth;
    if (!is_register) answer.path[depth] = at;
    if (is_register && (value & entry::present) != 0 &&
        (value & spec::pdpte_reserved_bits(state.maxphyaddr)) != 0) {
      answer.kind = WalkAnswer::Kind::load_gp;
      return answer;
    }
    const auto read = spec::read_entry(state, level, value, granted);
    if (read.kind == spec::EntryRead::Kind::table) {
      granted = read.rights;
      table = read.next;
      continue;
    }
    if (read.kind == spec::EntryRead::Kind::leaf) {
      if (const auto code = spec::permission_fault(state, access, read.leaf)) {
        answer.kind = WalkAnswer::Kind::page_fault;
        answer.code = *code;
        return answer;
      }
      answer.gpa = read.leaf.page + (gva & (read.leaf.size - 1));
      answer.page_size = read.leaf.size;
      answer.rights = read.rights;
      return answer;
    }
    const bool reserved = read.kind == spec::EntryRead::Kind::reserved;
    answer.kind = WalkAnswer::Kind::page_fault;
    answer.code = spec::fault_code(state, access, /*present=*/reserved, reserved);
    return answer;
  }
}

WalkAnswer impl_walk(const MatrixRegisters& registers, const MatrixTables& tables,
                     const impl::GuestAccess& access, std::uint32_t pkru) {
  WalkAnswer answer;
  const MatrixLayout& layout = *tables.layout;
  impl::WalkRoot root;
  if (registers.impl.root == 2 && registers.impl.entry_bytes == 8) {
    const std::uint64_t pdpte = tables.entry[3];
    if ((pdpte & entry::present) != 0 && (pdpte & registers.impl_pdpte_reserved) != 0) {
      answer.kind = WalkAnswer::Kind::load_gp;
      return answer;
    }
    root.pdptes[layout.index[3]] = pdpte;
  } else {
    root.table = layout.table[registers.impl.root];
  }
  const auto walk = impl::walk_guest(registers.impl, root, layout.gva, access, pkru,
                                     [&tables](Gpa at, unsigned, std::uint64_t& value) {
                                       value = tables.read(at);
                                       return true;
                                     });
  answer.last_level = walk.leaf_level;
  answer.path = walk.entry_gpa;
  if (!walk.ok) {
    answer.kind = WalkAnswer::Kind::page_fault;
    answer.code = walk.code;
    return answer;
  }
  answer.gpa = walk.gpa;
  answer.page_size = walk.page_size;
  answer.rights = {.writable = (walk.access & impl::rights::writable) != 0,
                   .user = (walk.access & impl::rights::user) != 0,
                   .executable = (walk.access & impl::rights::executable) != 0};
  return answer;
}

BothAnswers answer(const MatrixCase& c) {
  const MatrixRegisters registers(c);
  const MatrixTables tables = matrix_tables(c);
  const AccessKind kind = matrix_kind(c.flags);
  const Cpl cpl = has(c.flags, MatrixFlag::user) ? Cpl::user : Cpl::supervisor;
  const bool ac = has(c.flags, MatrixFlag::ac);
  return {spec_walk(registers.spec, tables, {.kind = kind, .cpl = cpl, .ac = ac}),
          impl_walk(registers, tables, {.kind = kind, .cpl = cpl, .ac = ac}, registers.spec.pkru)};
}

std::string dump(const MatrixCase& c, const BothAnswers& answers) {
  const MatrixRegisters registers(c);
  const MatrixTables tables = matrix_tables(c);
  const Gva gva = tables.layout->gva;
  std::string text = fmt::format("  gva 0x{:x}", gva);
  auto level = root_level(c.mode);
  Gpa table = tables.layout->table[static_cast<unsigned>(level)];
  spec::Combined granted;
  for (;; level = static_cast<TableLevel>(static_cast<unsigned>(level) - 1)) {
    const Gpa at = spec::entry_address(c.mode, level, table, gva);
    const std::uint64_t value = tables.read(at);
    const auto read = spec::read_entry(registers.spec, level, value, granted);
    text += fmt::format("\n  {:<4} at 0x{:<14x} 0x{:0{}x}: {}",
                        table_names[static_cast<unsigned>(level)], at, value,
                        2 * tables.entry_bytes, reading(read));
    if (read.kind != spec::EntryRead::Kind::table) break;
    granted = read.rights;
    table = read.next;
  }
  text += fmt::format("\n  spec {}\n  impl {}", print(answers.spec), print(answers.impl));
  return text;
}

}  // namespace lockstep::props
