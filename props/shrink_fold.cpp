// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/shrink_fold.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace lockstep::props {
namespace {

/// A store of setup, and the step that it came from.
struct HostEntry {
  EntrySet set;
  std::size_t origin = 0;
  bool from_map = false;
};

TableLevel below(TableLevel level) {
  return static_cast<TableLevel>(static_cast<unsigned>(level) - 1);
}

class Folding {
 public:
  explicit Folding(const Program& program)
      : program_(program), mode_(program.configuration.paging) {
    const auto lowered = lower(program);
    if (!lowered || mode_ == PagingMode::none) return;
    for (const Gpa root : program.configuration.roots) taken_.insert(root);
    for (std::size_t i = 0; i < lowered->steps.size(); ++i) {
      const auto* set = std::get_if<EntrySet>(&lowered->steps[i].command);
      if (set == nullptr || set->vcpu) continue;
      const auto origin = lowered->origin[i];
      const bool from_map = !std::holds_alternative<EntrySet>(program.steps[origin].command);
      entries_.push_back({*set, origin, from_map});
      if (from_map) taken_.insert(set->table);
    }
  }

  std::vector<Program> run() {
    if (!entries_.empty()) walk(root_level(mode_), program_.configuration.roots.front(), 0);
    return std::move(folded_);
  }

 private:
  std::uint64_t address_field() const {
    return mode_ == PagingMode::bits32 ? entry::address32 : entry::address;
  }
  unsigned shift(TableLevel level) const {
    const unsigned bits = mode_ == PagingMode::bits32 ? 10 : 9;
    return page_shift + bits * (static_cast<unsigned>(level) - 1);
  }
  bool maps_page(const EntrySet& set, TableLevel level) const {
    if (level == TableLevel::pt) return true;
    const bool large = level == TableLevel::pd || level == TableLevel::pdpt;
    return large && mode_ != PagingMode::bits32 && (set.value & entry::page_size) != 0;
  }

  void walk(TableLevel level, Gpa table, Gva gva) {
    for (const HostEntry& entry : entries_) {
      if (entry.set.table != table || (entry.set.value & entry::present) == 0) continue;
      path_.push_back(&entry);
      const Gva address = gva | (static_cast<Gva>(entry.set.index) << shift(level));
      if (maps_page(entry.set, level)) {
        fold(level, address);
      } else {
        walk(below(level), entry.set.value & address_field(), address);
      }
      path_.pop_back();
    }
  }

  /// New names for the tables of the path, in the order of allocation.
  std::optional<std::map<Gpa, Gpa>> renaming() const {
    std::map<Gpa, Gpa> names;
    Gpa next = program_.configuration.tables;
    for (std::size_t i = 1; i < path_.size(); ++i) {
      const Gpa table = path_[i]->set.table;
      if (taken_.contains(table)) continue;
      while (taken_.contains(next)) next += page_size;
      if (!names.emplace(table, next).second) return std::nullopt;
      next += page_size;
    }
    // What had the new name takes the old one.
    for (const auto& [from, to] : std::map<Gpa, Gpa>(names)) {
      if (!names.contains(to)) names[to] = from;
    }
    return names;
  }

  void fold(TableLevel level, Gva gva) {
    std::set<std::size_t> gone;
    for (const HostEntry* entry : path_) {
      if (!entry->from_map) gone.insert(entry->origin);
    }
    const auto names = renaming();
    if (gone.size() < 2 || path_.back()->from_map || !names) return;

    const auto renamed = [&](Gpa gpa) {
      const auto found = names->find(gpa & page_mask);
      return found == names->end() ? gpa : found->second | (gpa & (page_size - 1));
    };
    const std::uint64_t leaf = path_.back()->set.value;
    const std::uint64_t large = level == TableLevel::pt ? 0 : entry::page_size;
    const std::uint64_t address = leaf & address_field();
    // A 48-bit or 57-bit address continues with its sign.
    const bool wide = mode_ == PagingMode::level4 || mode_ == PagingMode::level5;
    const unsigned sign = mode_ == PagingMode::level5 ? 56 : 47;
    if (wide && ((gva >> sign) & 1u) != 0) gva |= ~0ull << sign;
    const Map map{gva, renamed(address), level, leaf & ~address_field() & ~large};

    Program folded = program_;
    folded.steps.clear();
    const std::size_t place = *gone.begin();
    for (std::size_t i = 0; i < program_.steps.size(); ++i) {
      Step step = program_.steps[i];
      if (i == place) {
        step.command = map;
        step.expected.reset();
      } else if (gone.contains(i)) {
        continue;
      } else if (auto* set = std::get_if<EntrySet>(&step.command)) {
        set->table = renamed(set->table);
        const Gpa target = set->value & address_field();
        set->value = (set->value & ~address_field()) | renamed(target);
      } else if (auto* peek = std::get_if<Peek>(&step.command)) {
        peek->gpa = renamed(peek->gpa);
      } else if (auto* poke = std::get_if<Poke>(&step.command)) {
        poke->gpa = renamed(poke->gpa);
      }
      folded.steps.push_back(std::move(step));
    }
    folded_.push_back(std::move(folded));
  }

  const Program& program_;
  PagingMode mode_;
  std::vector<HostEntry> entries_;
  std::set<Gpa> taken_;  ///< pages that `map` does not allocate, or did already
  std::vector<const HostEntry*> path_;
  std::vector<Program> folded_;
};

}  // namespace

std::vector<Program> folded_programs(const Program& program) { return Folding(program).run(); }

}  // namespace lockstep::props
