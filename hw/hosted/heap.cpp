// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/heap.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace lockstep::hw::hosted {

std::uint64_t Heap::mark_of(const Header* header) {
  return 0x6c69'7665'626c'6f63 ^ reinterpret_cast<std::uintptr_t>(header);
}

void* Heap::allocate(std::uint64_t bytes, std::uint64_t alignment) {
  alignment = std::max<std::uint64_t>(alignment, alignof(Header));
  // malloc() aligns to 16; a larger alignment costs that much slack.
  const std::uint64_t slack = alignment > alignof(Header) ? alignment : 0;
  if (bytes > (1ull << 40)) return nullptr;
  void* const start = std::malloc(sizeof(Header) + slack + bytes);
  if (start == nullptr) return nullptr;
  const std::uint64_t first = reinterpret_cast<std::uintptr_t>(start) + sizeof(Header);
  const std::uint64_t user = (first + alignment - 1) & ~(alignment - 1);
  auto* const header = new (reinterpret_cast<void*>(user - sizeof(Header))) Header;
  header->start = start;
  header->mark = mark_of(header);
  header->next = list_.next;
  header->previous = &list_;
  list_.next->previous = header;
  list_.next = header;
  ++blocks_;
  return reinterpret_cast<void*>(user);
}

bool Heap::release(void* memory) {
  auto* const header = reinterpret_cast<Header*>(static_cast<std::byte*>(memory) - sizeof(Header));
  if (header->mark != mark_of(header)) return false;
  header->mark = 0;
  header->next->previous = header->previous;
  header->previous->next = header->next;
  --blocks_;
  std::free(header->start);
  return true;
}

void Heap::drop() {
  while (list_.next != &list_) {
    Header* const header = list_.next;
    list_.next = header->next;
    std::free(header->start);
  }
  list_.previous = &list_;
  blocks_ = 0;
}

}  // namespace lockstep::hw::hosted
