// SPDX-License-Identifier: GPL-2.0-or-later
/// Where shadow pages come from: page-aligned tables with frame numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "impl/error.h"
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
class TableArena {
 public:
  /// Table frames are first_frame, first_frame + 1 and so on.
  explicit TableArena(Hfn first_frame) : first_frame_(first_frame) {}
  TableArena(const TableArena&) = delete;
  TableArena& operator=(const TableArena&) = delete;

  /// A zeroed page, or no_memory.
  Expected<ShadowPagePtr> allocate();

  /// The page with this index, which allocate() once gave out.
  ShadowPage& page(std::uint32_t index) {
    return *chunks_[index / chunk_pages].pages[index % chunk_pages];
  }
  /// The page behind a table frame; null for a frame that is none.
  ShadowPage* find(Hfn frame) {
    const Hfn index = frame - first_frame_;
    return index < chunks_.size() * chunk_pages ? &page(static_cast<std::uint32_t>(index))
                                                : nullptr;
  }
  /// Pages handed out and not returned.
  std::uint64_t in_use() const { return chunks_.size() * chunk_pages - free_.size(); }
  Hfn first_frame() const { return first_frame_; }

  /// Fault injection: let `n` allocations succeed and the one after fail, once.
  void fail_after(std::uint64_t n) { countdown_ = n; }
  void never_fail() { countdown_.reset(); }

 private:
  friend struct ReturnToArena;
  static constexpr std::uint32_t chunk_pages = 32;

  struct FreeTables {
    void operator()(std::byte* bytes) const noexcept;
  };
  struct Chunk {
    std::unique_ptr<std::byte, FreeTables> tables;
    std::vector<std::unique_ptr<ShadowPage>> pages;
  };
  void grow();
  void give_back(ShadowPage& page) noexcept;

  Hfn first_frame_;
  std::vector<Chunk> chunks_;
  std::vector<std::uint32_t> free_;
  std::optional<std::uint64_t> countdown_;
};

}  // namespace lockstep::impl
