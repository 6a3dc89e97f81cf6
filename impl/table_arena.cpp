// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/table_arena.h"

#include <cstring>
#include <new>

namespace lockstep::impl {

void ReturnToArena::operator()(ShadowPage* page) const noexcept { arena->give_back(*page); }

void TableArena::FreeTables::operator()(std::byte* bytes) const noexcept {
  ::operator delete (bytes, std::align_val_t{page_size});
}

void TableArena::grow() {
  const auto first = static_cast<std::uint32_t>(chunks_.size() * chunk_pages);
  Chunk chunk;
  chunk.tables.reset(static_cast<std::byte*>(
      ::operator new (chunk_pages* page_size, std::align_val_t{page_size})));
  std::memset(chunk.tables.get(), 0, chunk_pages * page_size);
  free_.reserve(first + chunk_pages);
  for (std::uint32_t i = 0; i < chunk_pages; ++i) {
    void* table = chunk.tables.get() + i * page_size;
    chunk.pages.push_back(std::make_unique<ShadowPage>(static_cast<std::uint64_t*>(table),
                                                       first + i, first_frame_ + first + i));
  }
  chunks_.push_back(std::move(chunk));
  // Lowest index on top, so that equal programs use equal frames.
  for (std::uint32_t i = chunk_pages; i-- > 0;) free_.push_back(first + i);
}

Expected<ShadowPagePtr> TableArena::allocate() {
  if (countdown_) {
    if (*countdown_ == 0) {
      countdown_.reset();
      return fail(Error::no_memory);
    }
    --*countdown_;
  }
  if (free_.empty()) grow();
  ShadowPage& fresh = page(free_.back());
  free_.pop_back();
  return ShadowPagePtr(&fresh, ReturnToArena{this});
}

void TableArena::give_back(ShadowPage& page) noexcept {
  page.for_each_present([&](unsigned entry) { page.clear(entry); });
  page.special = false;
  page.invalid = false;
  page.root_count = 0;
  page.write_flooding = 0;
  page.parents = {};
  page.tracked = {};
  page.charge = {};
  page.hash_next = page.list_next = page.list_previous = nullptr;
  free_.push_back(page.index());  // reserved by grow()
}

}  // namespace lockstep::impl
