// SPDX-License-Identifier: GPL-2.0-or-later
/// Shadow pages by gfn, and the list of all of them by age.
#pragma once

#include <cstddef>
#include <vector>

#include "impl/shadow_page.h"
#include "impl/table_arena.h"

namespace lockstep::impl {

/// KVM: mmu_page_hash. Chained by gfn only, because a guest write must find
/// every role of its gfn. Doubles when a chain would grow past one on average.
class PageHash {
 public:
  PageHash() : buckets_(256) {}

  ShadowPage* find(Gfn gfn, const Role& role) const {
    for (ShadowPage* page = buckets_[bucket(gfn)]; page != nullptr; page = page->hash_next) {
      if (page->gfn == gfn && page->role == role) return page;
    }
    return nullptr;
  }
  /// Call visit(page) for each page of the gfn; it may not insert or erase.
  template <typename Visit>
  void for_each(Gfn gfn, Visit&& visit) const {
    for (ShadowPage* page = buckets_[bucket(gfn)]; page != nullptr; page = page->hash_next) {
      if (page->gfn == gfn) visit(*page);
    }
  }
  void insert(ShadowPage& page) {
    if (++size_ > buckets_.size()) grow();
    link(page);
  }
  void erase(ShadowPage& page) {
    for (ShadowPage** at = &buckets_[bucket(page.gfn)]; *at != nullptr; at = &(*at)->hash_next) {
      if (*at == &page) {
        *at = page.hash_next;
        --size_;
        return;
      }
    }
  }
  std::size_t size() const { return size_; }

 private:
  std::size_t bucket(Gfn gfn) const {
    return (gfn * 0x9e37'79b9'7f4a'7c15ull >> 32) & (buckets_.size() - 1);
  }
  void link(ShadowPage& page) {
    ShadowPage*& head = buckets_[bucket(page.gfn)];
    page.hash_next = head;
    head = &page;
  }
  void grow() {
    std::vector<ShadowPage*> old(buckets_.size() * 2);
    old.swap(buckets_);
    for (ShadowPage* page : old) {
      while (page != nullptr) {
        ShadowPage* next = page->hash_next;
        link(*page);
        page = next;
      }
    }
  }

  std::vector<ShadowPage*> buckets_;
  std::size_t size_ = 0;
};

/// Owns the shadow pages put into it, oldest at the end.
class PageList {
 public:
  explicit PageList(TableArena& arena) : arena_(&arena) {}
  PageList(const PageList&) = delete;
  PageList& operator=(const PageList&) = delete;
  ~PageList() {
    while (newest_ != nullptr) remove(*newest_).reset();
  }

  bool empty() const { return newest_ == nullptr; }
  ShadowPage* newest() const { return newest_; }
  ShadowPage* oldest() const { return oldest_; }

  ShadowPage& add(ShadowPagePtr owned) {
    ShadowPage& page = *owned.release();
    page.listed = true;
    page.list_previous = nullptr;
    page.list_next = newest_;
    (newest_ != nullptr ? newest_->list_previous : oldest_) = &page;
    newest_ = &page;
    return page;
  }
  /// The page must be in this list.
  [[nodiscard]] ShadowPagePtr remove(ShadowPage& page) {
    (page.list_previous != nullptr ? page.list_previous->list_next : newest_) = page.list_next;
    (page.list_next != nullptr ? page.list_next->list_previous : oldest_) = page.list_previous;
    page.list_next = page.list_previous = nullptr;
    page.listed = false;
    return ShadowPagePtr(&page, ReturnToArena{arena_});
  }

 private:
  TableArena* arena_;
  ShadowPage* newest_ = nullptr;
  ShadowPage* oldest_ = nullptr;
};

}  // namespace lockstep::impl
