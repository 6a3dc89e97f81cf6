// SPDX-License-Identifier: GPL-2.0-or-later
/// One shadow page: a real x86 table of 512 entries, and what is known of it.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>

#include "impl/page_counter.h"
#include "impl/role.h"
#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::impl {

/// The name of one SPTE: shadow page index and entry in 32 bits.
class SpteRef {
 public:
  constexpr SpteRef() = default;
  constexpr SpteRef(std::uint32_t page, unsigned entry) : value_(page << 9 | entry) {}
  constexpr bool none() const { return value_ == ~0u; }
  constexpr std::uint32_t page() const { return value_ >> 9; }
  constexpr unsigned entry() const { return value_ & 511u; }
  constexpr bool operator==(const SpteRef&) const = default;

 private:
  std::uint32_t value_ = ~0u;
};

/// Place of an SPTE in the list that it belongs to: the rmap of its gfn (leaf)
/// or the parent_ptes of its child (non-leaf). Meaningful while present.
struct SpteLink {
  SpteRef next;
  SpteRef previous;
};

/// The gfn is a guest page table that some shadow page follows: holds the
/// memslot's count up, and with it the write protection.
class TrackedGfn {
 public:
  TrackedGfn() = default;
  /// `count` must outlive the token; memslots go only after their tokens.
  explicit TrackedGfn(std::uint16_t& count) : count_(&count) { ++count; }
  TrackedGfn(TrackedGfn&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  TrackedGfn& operator=(TrackedGfn&& other) noexcept {
    std::swap(count_, other.count_);
    return *this;
  }
  ~TrackedGfn() {
    if (count_ != nullptr) --*count_;
  }

 private:
  std::uint16_t* count_ = nullptr;
};

/// KVM: struct kvm_mmu_page. Lives in a TableArena; never moves.
class ShadowPage {
 public:
  ShadowPage(std::uint64_t* table, std::uint32_t index, Hfn frame)
      : table_(table), index_(index), frame_(frame) {}
  ShadowPage(const ShadowPage&) = delete;
  ShadowPage& operator=(const ShadowPage&) = delete;

  std::uint32_t index() const { return index_; }
  Hfn frame() const { return frame_; }
  std::uint64_t spte(unsigned entry) const { return table_[entry]; }
  bool present(unsigned entry) const { return (table_[entry] & entry::present) != 0; }
  /// The table itself, 512 entries.
  std::uint64_t* table() { return table_; }

  /// Write a present SPTE.
  void set(unsigned entry, std::uint64_t spte) {
    table_[entry] = spte;
    present_[entry / 64] |= 1ull << (entry % 64);
  }
  void clear(unsigned entry) {
    table_[entry] = 0;
    present_[entry / 64] &= ~(1ull << (entry % 64));
  }
  /// Call visit(entry) for each present SPTE; it may clear that entry.
  template <typename Visit>
  void for_each_present(Visit&& visit) {
    for (unsigned word = 0; word < present_.size(); ++word) {
      for (std::uint64_t bits = present_[word]; bits != 0; bits &= bits - 1) {
        visit(word * 64 + static_cast<unsigned>(std::countr_zero(bits)));
      }
    }
  }

  Gfn gfn = 0;
  Role role;
  bool special = false;  ///< PAE root: no role, no parents, entries hold root references
  bool invalid = false;  ///< zapped, and alive only until its last root reference goes
  std::uint32_t root_count = 0;
  std::uint8_t write_flooding = 0;
  SpteRef parents;  ///< head of parent_ptes
  TrackedGfn tracked;
  PageCharge charge;
  std::array<SpteLink, 512> links;
  std::array<Gfn, 512> gfns;  ///< what each leaf SPTE maps

  ShadowPage* hash_next = nullptr;
  ShadowPage* list_next = nullptr;
  ShadowPage* list_previous = nullptr;

 private:
  std::uint64_t* table_;
  std::uint32_t index_;
  Hfn frame_;
  std::array<std::uint64_t, 8> present_{};
};

}  // namespace lockstep::impl
