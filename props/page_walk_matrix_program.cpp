// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/page_walk_matrix_program.h"

#include <fmt/format.h>

#include "props/page_walk_matrix_walk.h"

namespace lockstep::props {
namespace {

constexpr Gpa root_table = 0x1000;
constexpr std::uint64_t memory = 16ull << 20;
constexpr unsigned offset = 0x568;  ///< of the access in its 4-KiB page
constexpr Gpa gigabyte = 1ull << 30;
/// Middle index of a page that a PDPTE maps: 6 MiB into memory.
constexpr unsigned gigabyte_pd_index = 3;

bool is_long(PagingMode mode) { return mode == PagingMode::level4 || mode == PagingMode::level5; }

/// Where the case with this number stands in its program.
MatrixLayout layout_of(const MatrixCase& c, unsigned number) {
  MatrixLayout layout;
  const unsigned root = matrix_root(c.mode);
  layout.index[1] = number + 1;
  layout.index[2] = is_long(c.mode) ? gigabyte_pd_index : number + 1;
  layout.index[3] = 5;
  layout.index[4] = 7;
  // PAE has three PDPTEs: the cases share one that is present, or one that is not.
  if (is_long(c.mode)) layout.index[root] = number + 1;
  if (c.mode == PagingMode::pae) layout.index[3] = has(c.flags, MatrixFlag::pdpte_p) ? 0 : 2;

  layout.table[root] = root_table;
  Gpa next = root_table + page_size;
  unsigned top = root - 1;
  if (c.mode == PagingMode::pae) {
    layout.table[2] = next;
    next += page_size;
    top = 1;
  }
  next += number * top * page_size;
  for (unsigned level = top; level >= 1; --level, next += page_size) layout.table[level] = next;

  layout.page[1] = 0x40'0000 + number * page_size;
  layout.page[2] = 0x80'0000;
  layout.page[3] = gigabyte;
  layout.gva = matrix_gva(c.mode, layout.index, offset);
  return layout;
}

/// Frame of memory that the access reaches, whichever slot it comes through.
Hfn frame_of(const MatrixCase& c, const MatrixLayout& layout) {
  switch (matrix_leaf(c)) {
    case 1:
      return gpa_to_gfn(layout.page[1]);
    case 2:
      return gpa_to_gfn(layout.page[2]) + layout.index[1];
    default:
      return gigabyte_pd_index * 512 + layout.index[1];
  }
}

void add(Program& program, Command command) {
  Step step;
  step.command = std::move(command);
  program.steps.push_back(std::move(step));
}

/// The same memory under each high address bit that a flag can set.
void add_slots(Program& program, const MatrixCase& c) {
  add(program, SlotAdd{.id = 0, .gpa = 0, .size = memory});
  add(program, SlotAdd{.id = 1, .gpa = gigabyte, .size = memory});
  const unsigned high_bit = c.mode == PagingMode::bits32 ? 32 : 36;
  if (c.maxphyaddr > high_bit) {
    add(program, SlotAdd{.id = 2, .gpa = 1ull << high_bit, .size = memory});
  }
}

void add_entries(Program& program, const MatrixCase& c, const MatrixLayout& layout) {
  for (unsigned level = matrix_root(c.mode); level >= matrix_leaf(c); --level) {
    add(program, EntrySet{.vcpu = std::nullopt,
                          .level = static_cast<TableLevel>(level),
                          .table = layout.table[level],
                          .index = layout.index[level],
                          .value = matrix_entry_in_memory(c, level, layout)});
  }
}

Access access_of(const MatrixCase& c, const MatrixLayout& layout) {
  Access access;
  access.kind = matrix_kind(c.flags);
  access.cpl = has(c.flags, MatrixFlag::user) ? Cpl::user : Cpl::supervisor;
  access.ac = has(c.flags, MatrixFlag::ac);
  access.gva = layout.gva;
  access.size = is_long(c.mode) || access.kind == AccessKind::fetch ? 8 : 4;
  if (access.kind == AccessKind::write) access.value = 0x5a17'0000 + layout.index[1];
  return access;
}

/// Demand what the spec does, where the case alone decides it.
void demand(const MatrixCase& c, const MatrixLayout& layout, std::optional<Observation>& expected) {
  const WalkAnswer walked = answer(c).spec;
  if (walked.kind == WalkAnswer::Kind::page_fault) {
    expected.emplace(std::in_place_type<PageFault>, PageFault{walked.code, layout.gva});
    return;
  }
  // A stray address bit may lead to where no slot is.
  if (walked.kind == WalkAnswer::Kind::load_gp || c.stray_level != 0) return;
  const auto frame = static_cast<std::uint32_t>(frame_of(c, layout));
  switch (matrix_kind(c.flags)) {
    case AccessKind::write:
      expected.emplace(std::in_place_type<Done>);
      return;
    case AccessKind::fetch:
      expected.emplace(std::in_place_type<Value>, Value{frame});
      return;
    case AccessKind::read:
      const std::uint64_t cell = code_cell(frame);
      expected.emplace(std::in_place_type<Value>,
                       Value{is_long(c.mode) ? cell : cell & 0xffff'ffff});
      return;
  }
}

}  // namespace

std::optional<std::string> no_program(const MatrixCase& c) {
  if (c.mode == PagingMode::pae && c.stray_level == 3) return "CR3 may not load such a PDPTE";
  if (is_long(c.mode) && has(c.flags, MatrixFlag::pdpte_ps) && !has(c.flags, MatrixFlag::page1gb)) {
    return "no configuration takes 1-GByte pages away";
  }
  if (c.mode == PagingMode::bits32 && matrix_leaf(c) == 2 && !has(c.flags, MatrixFlag::pse36)) {
    return "no configuration takes PSE-36 away";
  }
  // Code of the harness at CPL 3 has data of its own under key 0.
  if (c.pkru_key == 0 && (c.flags & (MatrixFlag::pkru_ad | MatrixFlag::pkru_wd)) != 0) {
    return "the harness needs key 0";
  }
  // SDM "WRPKRU": #UD while CR4.PKE is 0.
  if ((c.flags & (MatrixFlag::pkru_ad | MatrixFlag::pkru_wd)) != 0 &&
      !has(c.flags, MatrixFlag::cr4_pke)) {
    return "PKRU cannot be written while CR4.PKE is 0";
  }
  return std::nullopt;
}

Program matrix_program(std::span<const MatrixCase> cases, std::vector<std::size_t>* access_step) {
  Program program;
  if (cases.empty()) return program;
  const MatrixCase& first = cases.front();
  program.title = "page-walk matrix";
  program.configuration.paging = first.mode;
  program.configuration.maxphyaddr = first.maxphyaddr;
  program.configuration.control = matrix_control(first.flags);
  program.configuration.memory = memory;
  program.configuration.roots = {root_table};

  add_slots(program, first);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    add_entries(program, cases[i], layout_of(cases[i], static_cast<unsigned>(i)));
  }
  std::uint32_t pkru = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const MatrixCase& c = cases[i];
    if (has(c.flags, MatrixFlag::cr4_pke) && matrix_pkru(c) != pkru) {
      pkru = matrix_pkru(c);
      add(program, SetPkru{.vcpu = 0, .value = pkru});
    }
    add(program, access_of(c, layout_of(c, static_cast<unsigned>(i))));
    program.steps.back().before.push_back("# test " + print(c));
    if (access_step != nullptr) access_step->push_back(program.steps.size() - 1);
  }
  return program;
}

Program matrix_program(const MatrixCase& c) {
  Program program = matrix_program(std::span(&c, 1));
  if (const auto reason = no_program(c)) {
    program.header.push_back("# Not the case itself: " + *reason + ".");
  } else {
    demand(c, layout_of(c, 0), program.steps.back().expected);
  }
  return program;
}

}  // namespace lockstep::props
