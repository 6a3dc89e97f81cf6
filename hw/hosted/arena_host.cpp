// SPDX-License-Identifier: GPL-2.0-or-later
// What the host's memory management does to pages of a program.
#include <algorithm>
#include <cstring>

#include "hw/hosted/arena.h"

namespace lockstep::hw::hosted {
namespace {

/// What a frame holds that no page owns: neither a code cell nor a present
/// entry, so that an access through a stale translation shows.
constexpr std::uint64_t abandoned = 0xdead'dead'dead'deaaull;

}  // namespace

/// The frame that was released longest ago, so that stale uses have time to
/// show.
Hfn Arena::take_spare() { return spares_[next_spare_++]; }

void Arena::release(Hfn hfn) {
  auto* const words = reinterpret_cast<std::uint64_t*>(frame(hfn));
  std::fill_n(words, page_size / sizeof *words, abandoned);
  // A program's own frames wait for the next reset.
  if (hfn < table_.size()) {
    touch_frame(hfn);
    return;
  }
  if (next_spare_ > spares_.size() / 2) {
    spares_.erase(spares_.begin(), spares_.begin() + static_cast<std::ptrdiff_t>(next_spare_));
    next_spare_ = 0;
  }
  spares_.push_back(static_cast<std::uint32_t>(hfn));
}

/// Let the page stand on another frame, whose contents are there already; the
/// caller maps it.
void Arena::give_frame(std::uint64_t page, Hfn to) {
  const Hfn from = std::exchange(table_[page].frame, static_cast<std::uint32_t>(to));
  note_changed(page);
  release(from);
}

Result<void> Arena::migrate(std::uint64_t first, std::uint64_t count) {
  split(first, count);
  std::uint64_t page = first;
  // Without spare frames the host is out of memory: what is left stays.
  for (; page < first + count && next_spare_ != spares_.size(); ++page) {
    const Hfn to = take_spare();
    std::memcpy(frame(to), frame(table_[page].frame), page_size);
    give_frame(page, to);
  }
  return map_hva(first, page - first);
}

Result<void> Arena::discard(std::uint64_t first, std::uint64_t count) {
  split(first, count);
  for (std::uint64_t page = first; page < first + count; ++page) {
    if (next_spare_ == spares_.size()) {
      touch_frame(table_[page].frame);
      fill(table_[page].frame, page);
      continue;
    }
    const Hfn to = take_spare();
    fill(to, page);
    give_frame(page, to);
  }
  return map_hva(first, count);
}

Result<void> Arena::protect(std::uint64_t first, std::uint64_t count, bool writable) {
  // Of a huge page that the range covers in part, small ones remain.
  const auto split_at = [&](std::uint64_t page) {
    if (page % huge_pages != 0) split(page, 1);
  };
  split_at(first);
  split_at(first + count);
  bool any = false;
  for (std::uint64_t page = first; page < first + count; ++page) {
    if (table_[page].writable == writable) continue;
    table_[page].writable = writable;
    note_changed(page);
    any = true;
  }
  return any ? protect_hva(first, count, writable) : Result<void>{};
}

void Arena::split(std::uint64_t first, std::uint64_t count) {
  if (count == 0) return;
  for (std::uint64_t huge = first / huge_pages;
       huge <= (first + count - 1) / huge_pages && huge < level_.size(); ++huge) {
    level_[huge] = 1;
  }
}

Result<void> Arena::collapse(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t huge = (first + huge_pages - 1) / huge_pages;
       (huge + 1) * huge_pages <= first + count; ++huge) {
    const std::uint64_t start = huge * huge_pages;
    const auto pages = std::span(table_).subspan(start, huge_pages);
    const bool writable = pages.front().writable;
    if (!std::ranges::all_of(pages, [&](const Page& p) { return p.writable == writable; })) {
      continue;
    }
    for (std::uint64_t page = start; page < start + huge_pages; ++page) {
      if (table_[page].frame == page) continue;
      std::memcpy(frame(page), frame(table_[page].frame), page_size);
      touch_frame(page);
      give_frame(page, page);
    }
    if (auto mapped = map_hva(start, huge_pages); !mapped) return mapped;
    level_[huge] = 2;
  }
  return {};
}

void Arena::save(Saved& saved) {
  saved = {.table = table_,
           .level = level_,
           .spares = spares_,
           .next_spare = next_spare_,
           .contents = {base_, base_ + table_.size() * page_size},
           .touched = touched_list_,
           .changed = changed_list_};
  // From here on, these say what restore() has to do.
  for (const std::uint32_t hfn : touched_list_) touched_[hfn] = 0;
  touched_list_.clear();
  for (const std::uint32_t page : changed_list_) changed_[page] = 0;
  changed_list_.clear();
}

void Arena::remember(const Saved& saved) {
  for (const std::uint32_t hfn : saved.touched) touch_frame(hfn);
  for (const std::uint32_t page : saved.changed) note_changed(page);
}

Result<void> Arena::restore(const Saved& saved) {
  for (const std::uint32_t hfn : touched_list_) {
    std::memcpy(frame(hfn), saved.contents.data() + std::uint64_t{hfn} * page_size, page_size);
    touched_[hfn] = 0;
  }
  touched_list_.clear();
  level_ = saved.level;
  if (changed_list_.empty()) return {};
  table_ = saved.table;
  spares_ = saved.spares;
  next_spare_ = saved.next_spare;
  for (const std::uint32_t page : std::exchange(changed_list_, {})) {
    changed_[page] = 0;
    if (auto mapped = map_hva(page, 1); !mapped) return mapped;
  }
  return {};
}

}  // namespace lockstep::hw::hosted
