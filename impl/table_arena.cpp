// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/table_arena.h"

#include <cstring>
#include <new>

namespace lockstep::impl {

void ReturnToArena::operator()(ShadowPage* page) const noexcept { arena->give_back(*page); }

void TableArena::FreeTables::operator()(std::byte* bytes) const noexcept {
  ::operator delete (bytes, std::align_val_t{page_size});
}

TableArena::~TableArena() {
  for (std::uint32_t i = 0; i < chunks_; ++i) {
    const std::unique_ptr<Chunk> chunk(directory_[i].load());
    for (std::uint32_t page = 0; page < chunk_pages; ++page) chunk->pages[page].~ShadowPage();
  }
}

bool TableArena::grow() {
  if (chunks_ == most_chunks) return false;
  std::unique_ptr<Chunk> chunk(new (std::nothrow) Chunk);
  if (!chunk) return false;
  chunk->tables.reset(static_cast<std::byte*>(
      ::operator new (chunk_pages* page_size, std::align_val_t{page_size}, std::nothrow)));
  chunk->storage.reset(new (std::nothrow) std::byte[chunk_pages * sizeof(ShadowPage)]);
  if (!chunk->tables || !chunk->storage) return false;
  std::memset(chunk->tables.get(), 0, chunk_pages * page_size);
  chunk->pages = reinterpret_cast<ShadowPage*>(chunk->storage.get());
  const std::uint32_t first = chunks_ * chunk_pages;
  for (std::uint32_t i = 0; i < chunk_pages; ++i) {
    void* table = chunk->tables.get() + i * page_size;
    new (chunk->pages + i)
        ShadowPage(static_cast<std::uint64_t*>(table), first + i, first_frame_ + first + i);
  }
  directory_[chunks_].store(chunk.release(), std::memory_order_release);
  ++chunks_;
  // Lowest index on top, so that equal programs use equal frames.
  for (std::uint32_t i = chunk_pages; i-- > 0;) {
    page(first + i).free_next = free_;
    free_ = first + i;
  }
  return true;
}

Expected<ShadowPagePtr> TableArena::allocate() {
  const std::scoped_lock lock(mutex_);
  if (plan_.fails_now()) return fail(Error::no_memory);
  if (free_ == none && !grow()) return fail(Error::no_memory);
  ShadowPage& fresh = page(free_);
  free_ = fresh.free_next;
  ++in_use_;
  return ShadowPagePtr(&fresh, ReturnToArena{this});
}

void TableArena::give_back(ShadowPage& page) noexcept {
  page.reset(rmaps_);
  const std::scoped_lock lock(mutex_);
  page.free_next = free_;
  free_ = page.index();
  --in_use_;
}

}  // namespace lockstep::impl
