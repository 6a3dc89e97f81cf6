// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/heap.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

namespace lockstep::hw::hosted {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr bool keeps_blocks = false;
#else
constexpr bool keeps_blocks = true;
#endif
/// Of a block that is released, so much is overwritten: who reads on sees no old values.
constexpr std::uint64_t poisoned_bytes = keeps_blocks ? 128 : 0;
constexpr int poison = 0x5a;
constexpr std::uint64_t tail_bytes = keeps_blocks ? sizeof(std::uint64_t) : 0;

}  // namespace

std::uint64_t Heap::mark_of(const Header* header) {
  return 0x6c69'7665'626c'6f63 ^ reinterpret_cast<std::uintptr_t>(header);
}

void Heap::put_tail(Header* header) {
  if (tail_bytes == 0) return;
  const std::uint64_t mark = ~mark_of(header);
  // The block's end has any alignment.
  std::memcpy(reinterpret_cast<std::byte*>(header + 1) + header->bytes, &mark, sizeof mark);
}

bool Heap::tail_is_whole(const Header* header) {
  if (tail_bytes == 0) return true;
  std::uint64_t mark = 0;
  std::memcpy(&mark, reinterpret_cast<const std::byte*>(header + 1) + header->bytes, sizeof mark);
  return mark == ~mark_of(header);
}

void* Heap::allocate(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t owner) {
  alignment = std::max<std::uint64_t>(alignment, alignof(Header));
  // malloc() aligns to 16; a larger alignment costs that much slack.
  const std::uint64_t slack = alignment > alignof(Header) ? alignment : 0;
  if (bytes > most_bytes - bytes_) return nullptr;
  const auto size_class =
      static_cast<std::uint64_t>(std::bit_width(sizeof(Header) + slack + bytes + tail_bytes - 1));
  void* start = nullptr;
  if (auto& kept = kept_[size_class]; !kept.empty()) {
    start = kept.back();
    kept.pop_back();
  } else {
    start = std::malloc(keeps_blocks ? 1ull << size_class : sizeof(Header) + slack + bytes);
  }
  if (start == nullptr) return nullptr;
  const std::uint64_t first = reinterpret_cast<std::uintptr_t>(start) + sizeof(Header);
  const std::uint64_t user = (first + alignment - 1) & ~(alignment - 1);
  auto* const header = new (reinterpret_cast<void*>(user - sizeof(Header))) Header;
  header->start = start;
  header->mark = mark_of(header);
  header->size_class = size_class;
  header->bytes = bytes;
  header->owner = owner;
  put_tail(header);
  header->next = list_.next;
  header->previous = &list_;
  list_.next->previous = header;
  list_.next = header;
  ++blocks_;
  bytes_ += bytes;
  return reinterpret_cast<void*>(user);
}

std::optional<std::uint64_t> Heap::owner(void* memory) {
  const auto* const header =
      reinterpret_cast<Header*>(static_cast<std::byte*>(memory) - sizeof(Header));
  if (header->mark != mark_of(header)) return std::nullopt;
  return header->owner;
}

bool Heap::release(void* memory) {
  auto* const header = reinterpret_cast<Header*>(static_cast<std::byte*>(memory) - sizeof(Header));
  if (header->mark != mark_of(header) || !tail_is_whole(header)) return false;
  header->mark = 0;
  header->next->previous = header->previous;
  header->previous->next = header->next;
  --blocks_;
  bytes_ -= header->bytes;
  std::memset(memory, poison, std::min(header->bytes, poisoned_bytes));
  give_back(header->start, header->size_class);
  return true;
}

void Heap::give_back(void* start, std::uint64_t size_class) {
  if (keeps_blocks) {
    kept_[size_class].push_back(start);
  } else {
    std::free(start);
  }
}

Heap::~Heap() {
  drop();
  for (auto& kept : kept_) {
    for (void* const start : kept) std::free(start);
  }
}

void Heap::drop() {
  while (list_.next != &list_) {
    Header* const header = list_.next;
    list_.next = header->next;
    give_back(header->start, header->size_class);
  }
  list_.previous = &list_;
  blocks_ = 0;
  bytes_ = 0;
}

}  // namespace lockstep::hw::hosted
