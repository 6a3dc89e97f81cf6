// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <bitset>
#include <unordered_map>

#include "spec/program.h"
#include "spec/program_layout.h"
#include "spec/program_lowering.h"

namespace lockstep {

namespace {

using Failure = tl::unexpected<std::string>;

constexpr std::uint64_t table_pages = harness::window / page_size;

/// What host EntrySet commands have built so far, and which pages are tables.
/// `map` and `alias-table` build below the first root.
class TableBuilder {
 public:
  explicit TableBuilder(const Program& program)
      : configuration_(program.configuration), next_(program.configuration.tables) {
    for (const Gpa root : configuration_.roots) use(root);
  }

  /// A host store before: its table, and the table it refers to, are taken.
  /// What comes after a `map` may name the pages that the map took.
  void record(const EntrySet& entry) {
    entries_[address(entry.table, entry.index)] = entry.value;
    use(entry.table);
    if (refers_to_table(entry.level, entry.value)) use(entry.value & entry_field());
  }

  tl::expected<std::vector<EntrySet>, std::string> map(const Map& map) {
    if (mode() == PagingMode::none) return Failure("`map` needs paging");
    if (map.level > largest_leaf()) return Failure("the paging mode has no page of this size");
    std::vector<EntrySet> stores;
    auto level = root_level(mode());
    Gpa table = configuration_.roots.front();
    for (; level > map.level; level = static_cast<TableLevel>(static_cast<unsigned>(level) - 1)) {
      const unsigned index = spec::level_index(mode(), level, map.gva);
      const std::uint64_t old = value(table, index);
      if ((old & entry::present) != 0) {
        if (!refers_to_table(level, old)) {
          return Failure(fmt::format("`map 0x{:x}` meets a large page", map.gva));
        }
        table = old & entry_field();
        if (table >= harness::window) {
          return Failure(
              fmt::format("`map 0x{:x}` meets a table beyond the harness window", map.gva));
        }
        continue;
      }
      const auto page = allocate();
      if (!page) return Failure("no table page is left below the harness window");
      store(stores, EntrySet{{}, level, table, index, *page | upper_rights(level)});
      table = *page;
    }
    const std::uint64_t large = level > TableLevel::pt ? entry::page_size : 0;
    store(stores, EntrySet{{},
                           level,
                           table,
                           spec::level_index(mode(), level, map.gva),
                           map.gpa | map.rights | large});
    return stores;
  }

  tl::expected<EntrySet, std::string> alias(const AliasTable& alias) {
    if (mode() == PagingMode::none) return Failure("`alias-table` needs paging");
    const auto level = root_level(mode());
    const Gpa root = configuration_.roots.front();
    const std::uint64_t old = value(root, alias.of);
    if (!refers_to_table(level, old)) {
      return Failure(fmt::format("root entry {} refers to no table yet", alias.of));
    }
    const EntrySet entry{{}, level, root, alias.index, (old & entry_field()) | alias.rights};
    record(entry);
    return entry;
  }

 private:
  PagingMode mode() const { return configuration_.paging; }
  std::uint64_t entry_field() const { return spec::entry_address_field(mode()); }
  Gpa address(Gpa table, unsigned index) const {
    return table + std::uint64_t{index} * entry_size(mode());
  }

  TableLevel largest_leaf() const {
    return spec::is_64bit(mode()) ? TableLevel::pdpt : TableLevel::pd;
  }

  /// Whether the present entry refers to a table rather than to a page: PS
  /// counts at the levels that have large pages, and in 32-bit paging only
  /// under CR4.PSE. SDM "Paging", the formats of each mode's entries.
  bool refers_to_table(TableLevel level, std::uint64_t value) const {
    if ((value & entry::present) == 0 || level == TableLevel::pt) return false;
    if ((value & entry::page_size) == 0 || level > largest_leaf()) return true;
    return mode() == PagingMode::bits32 && !configuration_.control.has(ControlBit::cr4_pse);
  }

  /// PDPTEs of PAE paging reserve the bits that grant rights elsewhere.
  std::uint64_t upper_rights(TableLevel level) const {
    if (mode() == PagingMode::pae && level == TableLevel::pdpt) return entry::present;
    return entry::present | entry::writable | entry::user | entry::accessed;
  }

  std::uint64_t value(Gpa table, unsigned index) const {
    const auto found = entries_.find(address(table, index));
    return found == entries_.end() ? 0 : found->second;
  }

  void store(std::vector<EntrySet>& stores, const EntrySet& entry) {
    record(entry);
    stores.push_back(entry);
  }

  void use(Gpa page) {
    if (page < harness::window) used_.set(page / page_size);
  }

  std::optional<Gpa> allocate() {
    for (; next_ < harness::window; next_ += page_size) {
      if (used_.test(next_ / page_size)) continue;
      use(next_);
      return next_;
    }
    return std::nullopt;
  }

  const Configuration& configuration_;
  Gpa next_;
  std::bitset<table_pages> used_;
  std::unordered_map<Gpa, std::uint64_t> entries_;
};

class Lowering {
 public:
  explicit Lowering(const Program& program) : program_(program), tables_(program) {
    lowered_.configuration = program.configuration;
    lowered_.steps.reserve(program.steps.size());
    lowered_.origin.reserve(program.steps.size());
  }

  tl::expected<Lowered, Illegal> run() {
    for (std::size_t i = 0; i < program_.steps.size(); ++i) {
      const Step& step = program_.steps[i];
      if (const auto* map = std::get_if<Map>(&step.command)) {
        const auto stores = tables_.map(*map);
        if (!stores) return failure(i, stores.error());
        append(step, i, *stores);
      } else if (const auto* alias = std::get_if<AliasTable>(&step.command)) {
        const auto store = tables_.alias(*alias);
        if (!store) return failure(i, store.error());
        append(step, i, {*store});
      } else {
        if (const auto* entry = std::get_if<EntrySet>(&step.command);
            entry != nullptr && !entry->vcpu) {
          tables_.record(*entry);
        }
        lowered_.steps.push_back(step);
        lowered_.origin.push_back(i);
      }
    }
    return std::move(lowered_);
  }

 private:
  static tl::unexpected<Illegal> failure(std::size_t step, const std::string& why) {
    return tl::unexpected(Illegal{step, why});
  }

  /// Comments before the sugar stand before its first command, expectation and
  /// comment behind it on its last.
  void append(const Step& sugar, std::size_t origin, const std::vector<EntrySet>& stores) {
    for (std::size_t i = 0; i < stores.size(); ++i) {
      Step step{stores[i], std::nullopt, {}, {}};
      if (i == 0) step.before = sugar.before;
      if (i + 1 == stores.size()) {
        step.expected = sugar.expected;
        step.behind = sugar.behind;
      }
      lowered_.steps.push_back(std::move(step));
      lowered_.origin.push_back(origin);
    }
  }

  const Program& program_;
  TableBuilder tables_;
  Lowered lowered_;
};

}  // namespace

namespace spec {

tl::expected<Lowered, Illegal> lower_or_blame(const Program& program) {
  if (program.configuration.roots.empty()) {
    return tl::unexpected(Illegal{0, "the configuration has no root"});
  }
  return Lowering(program).run();
}

}  // namespace spec

tl::expected<Lowered, std::string> lower(const Program& program) {
  auto lowered = spec::lower_or_blame(program);
  if (!lowered) {
    return Failure(fmt::format("command {}: {}", lowered.error().step + 1, lowered.error().reason));
  }
  return std::move(*lowered);
}

}  // namespace lockstep
