// SPDX-License-Identifier: GPL-2.0-or-later
// What the host does to program memory, by system calls on its mapping.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "hw/kvm/memory.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace lockstep::hw {
namespace {

constexpr std::uint64_t huge_page = 2ull << 20;

EngineError failed(const char* what) { return {fmt::format("{}: {}", what, std::strerror(errno))}; }

/// The part of the range that huge pages can cover.
struct Huge {
  Huge(Hva hva, std::uint64_t size)
      : first((hva + huge_page - 1) & ~(huge_page - 1)), end((hva + size) & ~(huge_page - 1)) {}
  Hva first;
  Hva end;
};

}  // namespace

bool collapses_pages() {
  const Mapping scratch(2 * huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (!scratch) return false;
  const auto at = reinterpret_cast<std::uintptr_t>(scratch.data());
  std::byte* const huge = scratch.data() + (huge_page - at % huge_page) % huge_page;
  std::memset(huge, 1, huge_page);
  return ::madvise(huge, huge_page, MADV_COLLAPSE) == 0;
}

bool ProgramMemory::is_protected(Hva hva) const {
  const std::uint64_t page = hva >> page_shift;
  return page < protected_.size() && protected_[page];
}

Result<void> ProgramMemory::settle(Hva hva, std::uint64_t size) {
  if (protected_.empty()) return {};
  for (Hva at = hva; at < hva + size;) {
    const bool on = is_protected(at);
    Hva end = at;
    while (end < hva + size && is_protected(end) == on) end += page_size;
    if (::mprotect(data() + at, end - at, on ? PROT_READ : PROT_READ | PROT_WRITE) != 0) {
      return tl::unexpected(failed("mprotect of program memory"));
    }
    at = end;
  }
  return {};
}

Result<void> ProgramMemory::store_anyway(Hva hva, std::uint64_t value, unsigned width) {
  const bool on = is_protected(hva);
  const Hva page = hva & page_mask;
  if (on) {
    if (auto off = protect(page, page_size, false); !off) return tl::unexpected(off.error());
  }
  (void)store(hva, value, width);
  if (on) {
    if (auto again = protect(page, page_size, true); !again) return tl::unexpected(again.error());
  }
  return {};
}

/// mremap() unmaps what stood there, which the notifier hears, and moves the
/// pages of the copy without a fault in between.
Result<void> ProgramMemory::move_here(Mapping copy, Hva hva) {
  const std::size_t size = copy.size();
  void* const moved =
      ::mremap(copy.data(), size, size, MREMAP_MAYMOVE | MREMAP_FIXED, data() + hva);
  if (moved == MAP_FAILED) return tl::unexpected(failed("mremap of program memory"));
  (void)copy.release();
  remapped_ = true;
  return settle(hva, size);
}

/// Copies take frames of their own while the old ones are still in use, so that
/// every page has another frame afterwards.
Result<bool> ProgramMemory::migrate(Hva hva, std::uint64_t size) {
  const int source = anonymous_ ? -1 : pattern_->fd();
  const int flags = MAP_PRIVATE | MAP_NORESERVE | (anonymous_ ? MAP_ANONYMOUS : 0);
  Mapping copy(size, PROT_READ | PROT_WRITE, flags, source,
               anonymous_ ? 0 : static_cast<off_t>(hva));
  if (!copy) return tl::unexpected(failed("mmap of other frames"));
  std::memcpy(copy.data(), data() + hva, size);
  if (auto moved = move_here(std::move(copy), hva); !moved) return tl::unexpected(moved.error());
  return true;
}

/// Huge pages need memory without a file behind it.
Result<bool> ProgramMemory::collapse(Hva hva, std::uint64_t size) {
  const Huge huge(hva, size);
  if (huge.first >= huge.end) return false;
  anonymous_ = true;
  if (auto moved = migrate(huge.first, huge.end - huge.first); !moved) return moved;
  // Frames may be scarce: the command asks for huge pages, no more.
  return ::madvise(data() + huge.first, huge.end - huge.first, MADV_COLLAPSE) == 0;
}

/// A part of a huge page with another protection ends its huge mapping.
Result<bool> ProgramMemory::split(Hva hva, std::uint64_t size) {
  for (Hva at = hva & ~(huge_page - 1); at < hva + size; at += huge_page) {
    const Hva page = std::max(at, hva);
    const bool on = is_protected(page);
    for (const bool other : {!on, on}) {
      if (auto changed = protect(page, page_size, other); !changed) return changed;
    }
  }
  return anonymous_;
}

Result<bool> ProgramMemory::discard(Hva hva, std::uint64_t size) {
  if (!anonymous_) {
    if (::madvise(data() + hva, size, MADV_DONTNEED) == 0) return true;
    return tl::unexpected(failed("madvise of program memory"));
  }
  void* const at =
      ::mmap(data() + hva, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
             pattern_->fd(), static_cast<off_t>(hva));
  if (at == MAP_FAILED) return tl::unexpected(failed("mmap of program memory"));
  if (auto settled = settle(hva, size); !settled) return tl::unexpected(settled.error());
  return true;
}

Result<bool> ProgramMemory::protect(Hva hva, std::uint64_t size, bool on) {
  protected_.resize(this->size() >> page_shift);
  for (Hva at = hva; at < hva + size; at += page_size) protected_[at >> page_shift] = on;
  if (auto settled = settle(hva, size); !settled) return tl::unexpected(settled.error());
  return true;
}

Result<bool> ProgramMemory::change(HostAction action, Hva hva, std::uint64_t size) {
  if (hva > this->size() || this->size() - hva < size) {
    return tl::unexpected(EngineError{"the host acts beyond the program's memory"});
  }
  switch (action) {
    case HostAction::migrate:
      return migrate(hva, size);
    case HostAction::protect:
      return protect(hva, size, true);
    case HostAction::unprotect:
      return protect(hva, size, false);
    case HostAction::split:
      return split(hva, size);
    case HostAction::collapse:
      return collapse(hva, size);
    case HostAction::discard:
      return discard(hva, size);
    case HostAction::age:
      break;
  }
  return tl::unexpected(EngineError{"no system call ages a range of pages"});
}

}  // namespace lockstep::hw
