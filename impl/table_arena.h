// SPDX-License-Identifier: GPL-2.0-or-later
/// Where shadow pages come from: page-aligned tables with frame numbers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "impl/error.h"
#include "impl/object_pool.h"
#include "impl/shadow_page.h"

namespace lockstep::impl {

class TableArena;

/// Returns a shadow page to its arena.
struct ReturnToArena {
  TableArena* arena = nullptr;
  void operator()(ShadowPage* page) const noexcept;
};

/// Sole owner of a shadow page; its table is all zero when handed out.
using ShadowPagePtr = std::unique_ptr<ShadowPage, ReturnToArena>;

/// Grows by chunks, never shrinks; frames and indices map to pages in O(1).
/// Allocation is thread-safe.
class TableArena {
 public:
  using Ptr = ShadowPagePtr;

  /// Table frames are first_frame, first_frame + 1 and so on.
  explicit TableArena(Hfn first_frame) : first_frame_(first_frame) {}
  TableArena(const TableArena&) = delete;
  TableArena& operator=(const TableArena&) = delete;
  ~TableArena();

  /// A zeroed page, or no_memory.
  Expected<ShadowPagePtr> allocate();

  /// The page with this index, which allocate() once gave out.
  ShadowPage& page(std::uint32_t index) const {
    return directory_[index / chunk_pages]
        .load(std::memory_order_acquire)
        ->pages[index % chunk_pages];
  }
  /// The page behind a table frame; null for a frame that is none.
  ShadowPage* find(Hfn frame) const {
    const Hfn index = frame - first_frame_;
    return index < std::uint64_t{chunks_} * chunk_pages ? &page(static_cast<std::uint32_t>(index))
                                                        : nullptr;
  }
  /// Pages handed out and not returned.
  std::uint64_t in_use() const { return in_use_; }
  Hfn first_frame() const { return first_frame_; }

  /// Stores that the pages' own structures come from.
  RmapPool& rmaps() { return rmaps_; }
  TranslationPool& translations() { return translations_; }

  /// Fault injection: let `n` allocations of pages succeed and the one after
  /// fail, once.
  void fail_after(std::uint64_t n) { plan_.fail_after(n); }
  void never_fail() { plan_.never_fail(); }

 private:
  friend struct ReturnToArena;
  static constexpr std::uint32_t chunk_pages = 32;
  static constexpr std::uint32_t most_chunks = 1u << 16;
  static_assert(std::uint64_t{most_chunks} * chunk_pages < most_shadow_pages);
  static constexpr std::uint32_t none = ~0u;

  struct FreeTables {
    void operator()(std::byte* bytes) const noexcept;
  };
  struct Chunk;
  bool grow();
  void give_back(ShadowPage& page) noexcept;

  struct Chunk {
    std::unique_ptr<std::byte, FreeTables> tables;
    ShadowPage* pages = nullptr;  ///< chunk_pages of them, in `storage`
    std::unique_ptr<std::byte[]> storage;
  };

  Hfn first_frame_;
  mutable std::mutex mutex_;
  FaultPlan plan_;
  std::unique_ptr<std::atomic<Chunk*>[]> directory_ { new std::atomic<Chunk*>[ most_chunks ]() };
  std::uint32_t chunks_ = 0;
  std::uint32_t free_ = none;  ///< head of the list through ShadowPage::free_next
  std::uint64_t in_use_ = 0;
  TranslationPool translations_;
  RmapPool rmaps_;
};

}  // namespace lockstep::impl
