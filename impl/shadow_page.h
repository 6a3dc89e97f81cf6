// SPDX-License-Identifier: GPL-2.0-or-later
/// One shadow page: a real x86 table of 512 entries, and what is known of it.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <utility>

#include "impl/page_counter.h"
#include "impl/rmap.h"
#include "impl/role.h"
#include "impl/shadow_geometry.h"
#include "impl/shared_flag.h"
#include "impl/spte.h"
#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"

namespace lockstep::impl {

/// What each leaf SPTE of an indirect page maps: gfn and access that the guest's
/// table gives. Direct pages compute both. KVM: shadowed_translation.
struct Translations {
  std::array<std::uint64_t, 512> entries;  ///< of pack_translation()
};
using TranslationPool = ObjectPool<Translations>;

/// A count that only its tokens move: it cannot drift and not go negative.
class TokenCount {
 public:
  std::uint32_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  friend class Token;
  std::atomic<std::uint32_t> value_ = 0;
};
/// One unit of a TokenCount, given back by whoever holds it. The count outlives
/// the token.
class [[nodiscard]] Token {
 public:
  Token() = default;
  explicit Token(TokenCount& count) : count_(&count) { ++count.value_; }
  Token(Token&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  Token& operator=(Token&& other) noexcept {
    std::swap(count_, other.count_);
    return *this;
  }
  ~Token() {
    if (count_ != nullptr) --count_->value_;
  }
  explicit operator bool() const { return count_ != nullptr; }

 private:
  TokenCount* count_ = nullptr;
};

/// Counts of one gfn that a memslot keeps, held up by one shadow page.
template <typename Number>
class [[nodiscard]] SlotHold {
 public:
  SlotHold() = default;
  /// `number` outlives the hold; memslots go only after their holds.
  explicit SlotHold(Number& number) : number_(&number) { ++number; }
  SlotHold(SlotHold&& other) noexcept : number_(std::exchange(other.number_, nullptr)) {}
  SlotHold& operator=(SlotHold&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~SlotHold() {
    if (number_ != nullptr) --*number_;
  }
  /// Forget without giving back.
  void leak() { number_ = nullptr; }

 private:
  Number* number_ = nullptr;
};

/// The gfn is a guest page table that a shadow page follows: no huge page may
/// cover it and, above level 1, nothing may map it writable.
/// KVM: account_shadowed().
struct ShadowedGfn {
  SlotHold<std::uint16_t> tracked;
  std::array<SlotHold<std::int32_t>, 2> no_huge;  ///< level 2 and 3
  Token indirect;
};

/// 512 bits and how many of them are set.
class EntryBits {
 public:
  bool test(unsigned entry) const { return ((words_[entry / 64] >> (entry % 64)) & 1) != 0; }
  /// False if it was set before.
  bool set(unsigned entry) {
    if (test(entry)) return false;
    words_[entry / 64] |= 1ull << (entry % 64);
    ++count_;
    return true;
  }
  void clear(unsigned entry) {
    if (!test(entry)) return;
    words_[entry / 64] &= ~(1ull << (entry % 64));
    --count_;
  }
  unsigned count() const { return count_; }
  /// Call visit(entry) for each that is set; it may clear any.
  template <typename Visit>
  void for_each(Visit&& visit) {
    for (unsigned word = 0; word < words_.size() && count_ != 0; ++word) {
      for (std::uint64_t bits = words_[word]; bits != 0; bits &= bits - 1) {
        visit(word * 64 + static_cast<unsigned>(std::countr_zero(bits)));
      }
    }
  }

 private:
  std::array<std::uint64_t, 8> words_{};
  unsigned count_ = 0;
};

/// KVM: struct kvm_mmu_page. Lives in a TableArena; never moves. What a fault
/// reads stands in the first cache lines.
class ShadowPage {
 public:
  ShadowPage(std::uint64_t* table, std::uint32_t index, Hfn frame)
      : table_(table), index_(index), frame_(frame) {}
  ShadowPage(const ShadowPage&) = delete;
  ShadowPage& operator=(const ShadowPage&) = delete;

  std::uint32_t index() const { return index_; }
  Hfn frame() const { return frame_; }
  /// The SPTE, read as other threads may write it: who finds a table behind it finds
  /// that table's page as it was made.
  std::uint64_t spte(unsigned entry) const {
    return std::atomic_ref<std::uint64_t>(table_[entry]).load(std::memory_order_acquire);
  }
  bool present(unsigned entry) const { return spte_present(spte(entry)); }
  /// The table itself, 512 entries.
  std::uint64_t* table() { return table_; }

  /// Write an SPTE. Whoever calls keeps the books: see SpteBooks.
  void set(unsigned entry, std::uint64_t value) {
    used_[entry / 64] |= value == 0 ? 0 : 1ull << (entry % 64);
    std::atomic_ref<std::uint64_t>(table_[entry]).store(value, std::memory_order_release);
  }
  /// Write it if it is still `old`; `old` is what it was. For several threads.
  bool exchange(unsigned entry, std::uint64_t& old, std::uint64_t value) {
    std::atomic_ref<std::uint64_t>(used_[entry / 64])
        .fetch_or(value == 0 ? 0 : 1ull << (entry % 64), std::memory_order_relaxed);
    return std::atomic_ref<std::uint64_t>(table_[entry])
        .compare_exchange_strong(old, value, std::memory_order_acq_rel);
  }
  /// Write it whatever it is, and return what it was.
  std::uint64_t swap(unsigned entry, std::uint64_t value) {
    if (value != 0) used_[entry / 64] |= 1ull << (entry % 64);
    return std::atomic_ref<std::uint64_t>(table_[entry]).exchange(value, std::memory_order_acq_rel);
  }
  /// Call visit(entry) for each SPTE that is not 0; it may clear that entry.
  template <typename Visit>
  void for_each_used(Visit&& visit) {
    for (unsigned word = 0; word < used_.size(); ++word) {
      for (std::uint64_t bits = used_[word]; bits != 0; bits &= bits - 1) {
        const unsigned entry = word * 64 + static_cast<unsigned>(std::countr_zero(bits));
        if (table_[entry] != 0) visit(entry);
      }
    }
  }

  /// Gfn that the leaf SPTE maps. KVM: kvm_mmu_page_get_gfn().
  Gfn gfn_at(unsigned entry) const {
    if (translations) return translation_gfn(translations->entries[entry]);
    return gfn + entry * pages_of(role.level);
  }
  /// Access that the guest grants it. KVM: kvm_mmu_page_get_access().
  Rights access_at(unsigned entry) const {
    if (translations) {
      return static_cast<Rights>(
          translation_access<std::uint64_t>(translations->entries[entry], rights::all));
    }
    return role.access;
  }
  void set_translation(unsigned entry, Gfn mapped, Rights access) {
    if (translations) {
      translations->entries[entry] = pack_translation<std::uint64_t>(mapped, access);
    }
  }

  /// It shadows a table of the guest. KVM: sp_has_gptes().
  bool shadows_table() const { return !role.direct; }
  bool is_root() const { return roots.value() != 0; }

  /// As it was when the arena made it. Owned descriptors go back.
  void reset(RmapPool& pool) noexcept {
    for_each_used([&](unsigned entry) { table_[entry] = 0; });
    used_ = {};
    special = invalid = tdp_mmu = unsync = no_huge = listed = false;
    valid_generation = false;
    write_flooding = 0;
    parents.clear(pool);
    parent = {};
    unsync_children = {};
    shadowed = {};
    charge = {};
    unsync_token = {};
    recoverable = {};
    translations.reset();
    hash_next = list_next = list_previous = nx_next = nx_previous = nullptr;
  }

  Gfn gfn = 0;
  Role role;
  bool special = false;  ///< PAE root: no role, no parents, entries hold root references
  SharedFlag invalid;    ///< zapped, and alive only until its last root reference goes
  bool tdp_mmu = false;
  bool unsync = false;            ///< may lag behind the guest's table until the next flush
  bool no_huge = false;           ///< a huge page is forbidden here (nx_huge_page_disallowed)
  bool valid_generation = false;  ///< the MMU's when it was made; 1 bit
  bool listed = false;            ///< owned by a PageList
  std::uint8_t write_flooding = 0;
  TokenCount roots;  ///< held by RootRef
  RmapHead parents;  ///< parent_ptes
  SpteRef parent;    ///< of a page of the TDP MMU; none for its roots
  std::uint32_t free_next = 0;
  ShadowPage* hash_next = nullptr;
  ShadowPage* list_next = nullptr;
  ShadowPage* list_previous = nullptr;
  ShadowPage* nx_next = nullptr;  ///< pages that NX recovery may zap
  ShadowPage* nx_previous = nullptr;
  Pooled<Translations> translations;
  EntryBits unsync_children;  ///< entries below which a page may be unsync
  ShadowedGfn shadowed;
  PageCharge charge;
  Token unsync_token;
  Token recoverable;

 private:
  std::uint64_t* table_;
  std::uint32_t index_;
  Hfn frame_;
  std::array<std::uint64_t, 8> used_{};
};

}  // namespace lockstep::impl
