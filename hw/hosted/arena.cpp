// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>

#include "spec/vocabulary/configuration.h"

namespace lockstep::hw::hosted {
namespace {

#ifdef __SANITIZE_THREAD__
constexpr std::uint64_t lowest_base = 0x40'0000'0000;  // ThreadSanitizer's application memory
constexpr std::uint64_t base_step = 0x8'0000'0000;
#else
constexpr std::uint64_t lowest_base = 0x3000'0000'0000;  // AddressSanitizer's HighMem
constexpr std::uint64_t base_step = 0x100'0000'0000;
#endif
constexpr unsigned attempts = 64;
/// Bytes from the host's user addresses to the kernel's.
constexpr std::uint64_t hva_distance = base_step / 2;

constexpr std::uint64_t modes = 5;
constexpr std::uint64_t harness_pages = harness_slot_size / page_size;

EngineError failed(const char* what) { return {fmt::format("{}: {}", what, std::strerror(errno))}; }

std::byte* map_at(std::uint64_t address, std::uint64_t bytes, int fd, std::uint64_t offset,
                  int flags, int protection = PROT_READ | PROT_WRITE) {
  void* const got = ::mmap(reinterpret_cast<void*>(address), bytes, protection, MAP_SHARED | flags,
                           fd, static_cast<off_t>(offset));
  return got == MAP_FAILED ? nullptr : static_cast<std::byte*>(got);
}

}  // namespace

Result<std::unique_ptr<Arena>> Arena::create(const ArenaSize& size) {
  std::unique_ptr<Arena> arena(new Arena);
  arena->size_ = size;
  const std::uint64_t program = size.program_bytes / page_size;
  const std::uint64_t seen = program + modes * harness_pages;
  arena->first_free_ = seen + size.spare_pages;
  arena->pages_ = arena->first_free_ + size.kernel_pages;
  if (size.program_bytes % (huge_pages * page_size) != 0 ||
      arena->pages_ * page_size > hva_distance) {
    return tl::unexpected(
        EngineError{"program memory of a hosted kernel: whole 2 MiB, below 2^32"});
  }
  arena->file_ = Fd(::memfd_create("lockstep-arena", MFD_CLOEXEC));
  const std::uint64_t bytes = arena->pages_ * page_size;
  if (!arena->file_ || ::ftruncate(arena->file_.get(), static_cast<off_t>(bytes)) != 0) {
    return tl::unexpected(failed("memory of a hosted kernel"));
  }
  for (unsigned attempt = 0; attempt < attempts && arena->base_ == nullptr; ++attempt) {
    const std::uint64_t hva = lowest_base + attempt * base_step;
    if (map_at(hva, seen * page_size, arena->file_.get(), 0, MAP_FIXED_NOREPLACE) == nullptr) {
      continue;
    }
    arena->base_ = map_at(hva + hva_distance, bytes, arena->file_.get(), 0, MAP_FIXED_NOREPLACE);
    if (arena->base_ == nullptr) {
      ::munmap(reinterpret_cast<void*>(hva), seen * page_size);
    } else {
      arena->hva_base_ = hva;
    }
  }
  if (arena->base_ == nullptr) return tl::unexpected(failed("addresses for a hosted kernel"));

  arena->table_.resize(seen);
  arena->touched_.resize(seen);
  arena->changed_.resize(seen);
  arena->level_.assign(program / huge_pages, 1);
  for (std::uint64_t page = 0; page < seen; ++page) {
    arena->table_[page].frame = static_cast<std::uint32_t>(page);
  }
  for (Hfn hfn = seen; hfn < arena->first_free_; ++hfn) {
    arena->spares_.push_back(static_cast<std::uint32_t>(hfn));
  }
  return arena;
}

Arena::~Arena() {
  if (base_ == nullptr) return;
  ::munmap(base_, pages_ * page_size);
  ::munmap(reinterpret_cast<void*>(hva_base_), table_.size() * page_size);
}

hosted_arena Arena::boundary() const {
  return {
      .base = reinterpret_cast<std::uintptr_t>(base_), .pages = pages_, .first_free = first_free_};
}

std::uint64_t Arena::harness_page(PagingMode mode) const {
  return size_.program_bytes / page_size + static_cast<std::uint64_t>(mode) * harness_pages;
}

std::uint64_t Arena::harness_address(PagingMode mode) const {
  return hva_base_ + harness_page(mode) * page_size;
}

std::span<std::byte> Arena::harness(PagingMode mode) const {
  return {frame(harness_page(mode)), harness_slot_size};
}

void Arena::keep_harness(PagingMode mode) {
  const auto now = harness(mode);
  kept_.at(static_cast<std::size_t>(mode)).assign(now.begin(), now.end());
}

bool Arena::restore_harness(PagingMode mode) {
  const auto& kept = kept_.at(static_cast<std::size_t>(mode));
  if (kept.empty()) return false;
  const Hfn first = harness_page(mode);
  std::erase_if(touched_list_, [&](std::uint32_t hfn) {
    if (hfn < first || hfn >= first + harness_pages) return false;
    std::memcpy(frame(hfn), kept.data() + (hfn - first) * page_size, page_size);
    touched_[hfn] = 0;
    return true;
  });
  return true;
}

void Arena::fill(Hfn hfn, std::uint64_t page) {
  auto* const cells = reinterpret_cast<std::uint64_t*>(frame(hfn));
  std::fill_n(cells, page_size / sizeof *cells, code_cell(static_cast<std::uint32_t>(page)));
}

/// One system call a run of pages whose frames follow one another: the host's
/// mmap() is what a campaign would otherwise spend half of its time in.
Result<void> Arena::map_hva(std::uint64_t page, std::uint64_t count) {
  for (const std::uint64_t end = page + count; page < end;) {
    const Page& first = table_[page];
    std::uint64_t run = 1;
    while (page + run < end && table_[page + run].frame == first.frame + run &&
           table_[page + run].writable == first.writable) {
      ++run;
    }
    if (map_at(hva_base_ + page * page_size, run * page_size, file_.get(),
               std::uint64_t{first.frame} * page_size, MAP_FIXED,
               PROT_READ | (first.writable ? PROT_WRITE : 0)) == nullptr) {
      return tl::unexpected(failed("mapping of a hosted kernel's memory"));
    }
    page += run;
  }
  return {};
}

Result<void> Arena::protect_hva(std::uint64_t page, std::uint64_t count, bool writable) {
  if (::mprotect(reinterpret_cast<void*>(hva_base_ + page * page_size), count * page_size,
                 PROT_READ | (writable ? PROT_WRITE : 0)) != 0) {
    return tl::unexpected(failed("protection of a hosted kernel's memory"));
  }
  return {};
}

void Arena::note_changed(std::uint64_t page) {
  if (changed_[page] != 0) return;
  changed_[page] = 1;
  changed_list_.push_back(static_cast<std::uint32_t>(page));
}

Result<void> Arena::reset(std::uint64_t bytes, bool huge) {
  const std::uint64_t pages = (bytes + page_size - 1) / page_size;
  if (pages > size_.program_bytes / page_size) {
    return tl::unexpected(EngineError{
        fmt::format("{} bytes of memory; this arena has {}", bytes, size_.program_bytes)});
  }
  std::ranges::sort(changed_list_);
  const auto moved = [&](std::uint32_t page) { return table_[page].frame != page; };
  for (std::size_t i = 0; i < changed_list_.size();) {
    const std::uint32_t first = changed_list_[i];
    const bool on_other_frames = moved(first);
    std::uint32_t end = first;
    for (; i < changed_list_.size() && changed_list_[i] == end && moved(end) == on_other_frames;
         ++i, ++end) {
      changed_[end] = 0;
      // The own frame was given away and written over meanwhile.
      if (on_other_frames) touch_frame(end);
      table_[end] = {.frame = end, .writable = true};
    }
    auto mapped = on_other_frames ? map_hva(first, end - first)
                                  : protect_hva(first, end - first, /*writable=*/true);
    if (!mapped) return mapped;
  }
  if (!changed_list_.empty()) {
    // In order again, so that runs of them map with one system call.
    spares_.resize(size_.spare_pages);
    next_spare_ = 0;
    std::iota(spares_.begin(), spares_.end(), static_cast<std::uint32_t>(table_.size()));
  }
  changed_list_.clear();
  const std::uint64_t harness = harness_page(PagingMode::none);
  std::erase_if(touched_list_, [&](std::uint32_t hfn) {
    if (hfn >= harness) return false;  // rebuilt when its mode is next used
    fill(hfn, hfn);
    touched_[hfn] = 0;
    return true;
  });
  for (; filled_ < pages; ++filled_) fill(filled_, filled_);
  program_pages_ = pages;
  std::ranges::fill(level_, huge ? std::uint8_t{2} : std::uint8_t{1});
  return {};
}

void Arena::look_up(std::uint64_t address, hosted_host_page& page) const {
  page = {};
  const std::uint64_t index = (address - hva_base_) / page_size;
  const bool program = index < program_pages_;
  if (address < hva_base_ || index >= table_.size() ||
      (!program && index < harness_page(PagingMode::none))) {
    return;
  }
  page.frame = table_[index].frame;
  page.present = 1;
  page.writable = table_[index].writable ? 1 : 0;
  page.special = program && special_ ? 1 : 0;
  page.level = program ? level_[index / huge_pages] : std::uint8_t{1};
}

void Arena::touch(std::uint64_t address, std::uint64_t bytes) {
  if (bytes == 0 || address < hva_base_) return;
  const std::uint64_t first = (address - hva_base_) / page_size;
  const std::uint64_t last = (address + bytes - 1 - hva_base_) / page_size;
  for (std::uint64_t page = first; page <= last && page < table_.size(); ++page) {
    touch_frame(table_[page].frame);
  }
}

bool Arena::store(Hva hva, std::uint64_t value, unsigned width) {
  const std::uint64_t end = program_pages_ * page_size;
  if (hva > end || end - hva < width) return false;
  for (unsigned done = 0; done < width;) {
    const Page& page = table_[(hva + done) / page_size];
    if (!page.writable) return false;
    const auto room = static_cast<unsigned>(page_size - (hva + done) % page_size);
    const unsigned part = std::min(width - done, room);
    touch_frame(page.frame);
    std::memcpy(frame(page.frame) + (hva + done) % page_size,
                reinterpret_cast<const std::byte*>(&value) + done, part);
    done += part;
  }
  return true;
}

bool Arena::load(Hva hva, std::uint64_t& value, unsigned width) const {
  const std::uint64_t end = program_pages_ * page_size;
  if (hva > end || end - hva < width) return false;
  value = 0;
  for (unsigned done = 0; done < width;) {
    const auto room = static_cast<unsigned>(page_size - (hva + done) % page_size);
    const unsigned part = std::min(width - done, room);
    std::memcpy(reinterpret_cast<std::byte*>(&value) + done,
                frame(table_[(hva + done) / page_size].frame) + (hva + done) % page_size, part);
    done += part;
  }
  return true;
}

std::optional<std::uint64_t> Arena::first_stale(std::uint64_t bytes) const {
  for (std::uint64_t page = 0; page < bytes / page_size; ++page) {
    const auto* const cells = reinterpret_cast<const std::uint64_t*>(frame(page));
    for (std::uint64_t i = 0; i < page_size / sizeof *cells; ++i) {
      if (cells[i] != code_cell(static_cast<std::uint32_t>(page))) return page;
    }
  }
  return std::nullopt;
}

}  // namespace lockstep::hw::hosted
