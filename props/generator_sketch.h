// SPDX-License-Identifier: GPL-2.0-or-later
/// What the generator believes about the guest while it writes a program: page
/// pools, entries as last set, slots. A belief for aiming, not a model: stale
/// translations and failed writes are not followed.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "props/draw.h"
#include "spec/engine.h"
#include "spec/program.h"

namespace lockstep::props {

/// Where one entry lives.
struct EntryPlace {
  Gpa table = 0;
  TableLevel level = TableLevel::pt;
  unsigned index = 0;
  bool operator==(const EntryPlace&) const = default;
};

class Sketch {
 public:
  Sketch(Draw& draw, Program& program, const Features& features)
      : draw(draw), program(program), features(features) {}

  Draw& draw;
  Program& program;
  Features features;
  bool upper_half = true;

  UserSlots slots;
  /// Non-root table pages, all below harness::window and in slot 0.
  std::vector<Gpa> tables;
  /// 4-KiB pages that leaves point to; some without a slot.
  std::vector<Gpa> data;
  /// Bases of large pages.
  std::vector<Gpa> large;
  /// A page table in a slot that may go; 0 if every table is in slot 0.
  Gpa lone_table = 0;
  /// The few linear pages that commands crowd on.
  std::vector<Gva> linear;
  /// Believed state of each vCPU.
  struct Vcpu {
    Gpa root = 0;
    ControlBits control;
  };
  std::array<Vcpu, 8> vcpus;

  PagingMode mode() const { return program.configuration.paging; }
  bool long_mode() const { return mode() == PagingMode::level4 || mode() == PagingMode::level5; }
  bool has(Feature feature) const { return features[static_cast<unsigned>(feature)]; }

  void emit(Command command);
  /// Entry of setup, by user space, or by a vCPU; remembered.
  void set_entry(std::optional<unsigned> vcpu, EntryPlace place, std::uint64_t value);
  std::optional<std::uint64_t> entry(EntryPlace place) const;
  /// Whether any entry was set in the page.
  bool is_table(Gpa page) const;
  /// Believed path of a walk, the root's entry first. Ends at the leaf or at
  /// an entry that is not present or was never set.
  std::vector<EntryPlace> path(Gpa root, Gva gva) const;
  /// Believed gpa of the byte at `gva`; none if the walk ends early.
  std::optional<Gpa> resolve(Gpa root, Gva gva) const;

  /// A value for an entry at that level that points to a table.
  std::uint64_t table_entry(TableLevel level, Gpa table);
  /// A value for an entry that maps a page (large above pt).
  std::uint64_t leaf_entry(TableLevel level, Gpa page);
  /// Whether entries of the level may map large pages in this configuration.
  bool large_at(TableLevel level) const;
  /// Another value for an entry, near the one that it has.
  std::uint64_t mutated(TableLevel level, std::uint64_t value);

  /// A linear page put together from the few indexes in use.
  Gva draw_linear();
  /// Lay slots and pools, build the tables of every root.
  void build();

 private:
  struct Known {
    EntryPlace place;
    std::uint64_t value = 0;
  };
  std::vector<Known> known_;

  bool belongs_to_engine(const EntryPlace& place) const;
  std::uint64_t rights(TableLevel level, bool leaf);
  void lay_slots();
  void lay_pools();
  void map(Gpa root, Gva gva);
  Gpa child_table(TableLevel level);
  std::vector<std::pair<TableLevel, Gpa>> used_;
};

/// Index of the entry that translates `gva` in a table of that level.
unsigned entry_index(PagingMode mode, TableLevel level, Gva gva);

}  // namespace lockstep::props
