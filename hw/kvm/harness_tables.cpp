// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/harness_tables.h"

#include <cstring>

namespace lockstep::hw {
namespace {

constexpr std::uint64_t supervisor =
    entry::present | entry::writable | entry::accessed | entry::dirty;
constexpr std::uint64_t user_read_only =
    entry::present | entry::user | entry::accessed | entry::dirty;
constexpr std::uint64_t user_writable = user_read_only | entry::writable;
/// Upper levels grant everything; dirty is ignored in them.
constexpr std::uint64_t upper = entry::present | entry::writable | entry::user | entry::accessed;

/// Stores entries of one width into the pages of a slot.
class TableWriter {
 public:
  TableWriter(std::span<std::byte> slot, unsigned width) : slot_(slot), width_(width) {}
  void set(std::uint64_t table, unsigned index, std::uint64_t value) {
    std::memcpy(slot_.subspan(table + std::uint64_t{index} * width_, width_).data(), &value,
                width_);
  }

 private:
  std::span<std::byte> slot_;
  unsigned width_;
};

void fill_supervisor(TableWriter& tables) {
  for (unsigned page = 0; page < harness_slot_size / page_size; ++page) {
    tables.set(harness_page::supervisor_pt, page, harness_gpa(page * page_size) | supervisor);
  }
}

void fill_window(TableWriter& tables) {
  for (unsigned page = 0; page < harness::window / page_size; ++page) {
    tables.set(harness_page::window_pt, page, page * page_size | user_writable);
  }
}

void fill_user(TableWriter& tables, std::uint64_t table, unsigned first) {
  tables.set(table, first, harness_gpa(harness_page::user_code) | user_read_only);
  tables.set(table, first + 1, harness_gpa(harness_page::parameters) | user_read_only);
}

}  // namespace

void build_harness_tables(std::span<std::byte> slot, PagingMode mode) {
  if (mode == PagingMode::none) return;
  TableWriter tables(slot, entry_size(mode));
  fill_supervisor(tables);
  fill_window(tables);
  if (mode == PagingMode::bits32) {
    fill_user(tables, harness_page::window_pt, /*first=*/512);
    return;
  }
  fill_user(tables, harness_page::user_pt, /*first=*/0);
  tables.set(harness_page::pd, 508, harness_gpa(harness_page::supervisor_pt) | upper);
  tables.set(harness_page::pd, 510, harness_gpa(harness_page::window_pt) | upper);
  tables.set(harness_page::pd, 511, harness_gpa(harness_page::user_pt) | upper);
  tables.set(harness_page::pdpt, 511, harness_gpa(harness_page::pd) | upper);
  tables.set(harness_page::pml4, 511, harness_gpa(harness_page::pdpt) | upper);
}

std::vector<RootEntry> harness_root_entries(PagingMode mode) {
  switch (mode) {
    case PagingMode::none:
      return {};
    case PagingMode::bits32:
      return {{1022, harness_gpa(harness_page::supervisor_pt) | upper},
              {1023, harness_gpa(harness_page::window_pt) | upper}};
    case PagingMode::pae:
      // A PDPTE has no rights; SDM "PAE Paging" reserves those bits.
      return {{3, harness_gpa(harness_page::pd) | entry::present}};
    case PagingMode::level4:
      return {{511, harness_gpa(harness_page::pdpt) | upper}};
    case PagingMode::level5:
      return {{511, harness_gpa(harness_page::pml4) | upper}};
  }
  return {};
}

}  // namespace lockstep::hw
