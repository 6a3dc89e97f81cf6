// SPDX-License-Identifier: GPL-2.0-or-later
/// Host memory that backs the memslots: the host's own page tables as far as an
/// MMU asks them, which frame stands behind an hva, how large the mapping is,
/// and whether it may be written.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "spec/vocabulary/address.h"

namespace lockstep::impl {

/// A view of one contiguous range of host memory; hva 0 is its first byte.
/// Owns no memory. Each page has two frames, its home and one `away`: to
/// migrate it is to move it to the other. No byte moves with it: the frame where
/// the page is names its bytes, and the other one reads as garbage and keeps
/// nothing. Every store is marked in `touched`, so that the owner can restore a
/// program's memory without visiting pages nobody wrote.
class HostMemory {
 public:
  /// The frame away from home of page `n` is `n | away_frame`: far above any
  /// home, and aligned so that a huge page stays one when all of it moves.
  static constexpr Hfn away_frame = 1ull << 26;
  /// Frames of both kinds lie below.
  static constexpr Hfn end_frame = 1ull << 27;

  /// `touched` has one bit a page. Both outlive this view.
  HostMemory(std::span<std::byte> home, std::span<std::uint64_t> touched)
      : home_(home), touched_(touched), regions_(home.size() >> huge_shift) {}

  std::uint64_t size() const { return home_.size(); }
  /// Whether `size` bytes at `hva` exist.
  bool contains(Hva hva, std::uint64_t size) const {
    return hva <= home_.size() && size <= home_.size() - hva;
  }
  /// Load 1, 2, 4 or 8 bytes that exist, little endian, zero-extended.
  std::uint64_t load(Hva hva, unsigned size) const {
    std::uint64_t value = 0;
    std::memcpy(&value, home_.data() + hva, size);
    return value;
  }
  /// Store the low 1, 2, 4 or 8 bytes of `value` at bytes that exist.
  void store(Hva hva, unsigned size, std::uint64_t value) {
    touch(hva >> page_shift);
    std::memcpy(home_.data() + hva, &value, size);
  }
  std::uint64_t load_frame(Hfn frame, std::uint64_t offset, unsigned size) const {
    if (!holds_page(frame)) return size == 8 ? garbage : garbage & ((1ull << (size * 8)) - 1);
    return load(hva_of(frame) + offset, size);
  }
  void store_frame(Hfn frame, std::uint64_t offset, unsigned size, std::uint64_t value) {
    if (holds_page(frame)) store(hva_of(frame) + offset, size, value);
  }
  /// Fill whole pages that exist: `content(hfn)` is every 8 bytes of a page.
  template <typename Content>
  void fill(Hva hva, std::uint64_t size, Content&& content) {
    for (Hva at = hva; at < hva + size; at += page_size) {
      touch(at >> page_shift);
      const std::uint64_t cell = content(at >> page_shift);
      for (Hva byte = at; byte < at + page_size; byte += sizeof cell) {
        std::memcpy(home_.data() + byte, &cell, sizeof cell);
      }
    }
  }

  /// Frame behind a page that exists.
  Hfn frame(Hva hva) const {
    const Hfn page = hva >> page_shift;
    return page < is_away_.size() && is_away_[page] ? page | away_frame : page;
  }
  /// Whether a frame of either kind exists.
  bool has_frame(Hfn frame) const { return contains(hva_of(frame), page_size); }
  /// The host lets pages be written.
  bool writable(Hva hva) const {
    const Hfn page = hva >> page_shift;
    return page >= protected_.size() || !protected_[page];
  }
  /// Level of the host's mapping around the hva: 1, 2 (2 MiB) or 3 (1 GiB).
  /// KVM: host_pfn_mapping_level().
  unsigned level(Hva hva) const {
    const std::uint64_t region = hva >> huge_shift;
    if (region >= regions_.size() || !huge(regions_[region])) return 1;
    const std::uint64_t first = region & ~511ull;
    if (first + 512 > regions_.size()) return 2;
    const auto whole = [&](const Region& r) { return huge(r) && r.away == regions_[first].away; };
    return std::all_of(regions_.begin() + static_cast<std::ptrdiff_t>(first),
                       regions_.begin() + static_cast<std::ptrdiff_t>(first + 512), whole)
               ? 3
               : 2;
  }

  // What the host does, to whole pages that exist.

  /// Other frames, same contents. The old frame holds garbage from then on.
  void migrate(Hva hva, std::uint64_t size) {
    for (Hva at = hva; at < hva + size; at += page_size) move(at, !is_away(at));
  }
  void protect(Hva hva, std::uint64_t size, bool on) {
    const Hfn end = (hva + size) >> page_shift;
    if (protected_.size() < end) protected_.resize(end);
    for (Hfn page = hva >> page_shift; page < end; ++page) {
      if (protected_[page] == on) continue;
      protected_[page] = on;
      if (Region* region = region_of(page)) region->unwritable += on ? 1u : ~0u;
    }
  }
  void split(Hva hva, std::uint64_t size) {
    for (Hfn page = hva >> page_shift; page < (hva + size) >> page_shift; ++page) {
      if (Region* region = region_of(page)) region->split = true;
    }
  }
  /// Huge pages where the range covers them whole.
  void collapse(Hva hva, std::uint64_t size) {
    constexpr Hva huge_size = 1ull << huge_shift;
    for (Hva at = (hva + huge_size - 1) & ~(huge_size - 1); at + huge_size <= hva + size;
         at += huge_size) {
      for (Hva page = at; page < at + huge_size; page += page_size) move(page, /*away=*/false);
      if (Region* region = region_of(at >> page_shift)) region->split = false;
    }
  }

 private:
  static constexpr unsigned huge_shift = 21;
  struct Region {
    unsigned away = 0;        ///< pages away from home
    unsigned unwritable = 0;  ///< pages that are write-protected
    bool split = false;
  };
  static bool huge(const Region& region) {
    const auto uniform = [](unsigned pages) { return pages == 0 || pages == 512; };
    return !region.split && uniform(region.away) && uniform(region.unwritable);
  }
  Region* region_of(Hfn page) {
    const std::uint64_t region = page >> (huge_shift - page_shift);
    return region < regions_.size() ? &regions_[region] : nullptr;
  }
  bool is_away(Hva hva) const {
    const Hfn page = hva >> page_shift;
    return page < is_away_.size() && is_away_[page];
  }
  void move(Hva hva, bool away) {
    if (is_away(hva) == away) return;
    const Hfn page = hva >> page_shift;
    if (is_away_.size() <= page) is_away_.resize(page + 1);
    is_away_[page] = away;
    if (Region* region = region_of(page)) region->away += away ? 1u : ~0u;
  }
  static Hva hva_of(Hfn frame) { return (frame & ~away_frame) << page_shift; }
  bool holds_page(Hfn frame) const { return is_away(hva_of(frame)) == ((frame & away_frame) != 0); }
  void touch(Hfn page) { touched_[page / 64] |= 1ull << (page % 64); }

  static constexpr std::uint64_t garbage = 0xdddd'dddd'dddd'dddd;
  std::span<std::byte> home_;
  std::span<std::uint64_t> touched_;
  std::vector<bool> is_away_;    ///< by page; absent is false
  std::vector<bool> protected_;  ///< likewise
  std::vector<Region> regions_;  ///< of 2 MiB, whole ones only
};

}  // namespace lockstep::impl
