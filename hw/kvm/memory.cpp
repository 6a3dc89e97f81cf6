// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/memory.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "spec/vocabulary/configuration.h"

namespace lockstep::hw {
namespace {

EngineError failed(const char* what) { return {fmt::format("{}: {}", what, std::strerror(errno))}; }

constexpr std::uint64_t huge_page = 2ull << 20;

bool inside(std::uint64_t size, Hva hva, unsigned width) {
  return width <= 8 && hva <= size && size - hva >= width;
}

}  // namespace

Result<PatternFile> PatternFile::create() {
  PatternFile pattern;
  pattern.fd_ = Fd(::memfd_create("lockstep-pattern", MFD_CLOEXEC));
  if (!pattern.fd_) return tl::unexpected(failed("memfd_create"));
  return pattern;
}

Result<void> PatternFile::grow(std::uint64_t size) {
  if (size <= filled_) return {};
  if (size > memory_limit || size % page_size != 0) {
    return tl::unexpected(EngineError{
        fmt::format("{} bytes of memory: give whole pages, {} bytes at most", size, memory_limit)});
  }
  // Never shrinks, unlike ftruncate(): another process may have grown it further.
  if (::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size)) != 0) {
    return tl::unexpected(failed("fallocate of program memory"));
  }
  const Mapping view(size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get());
  if (!view) return tl::unexpected(failed("mmap of program memory"));
  for (std::uint64_t at = filled_; at < size; at += page_size) {
    const std::uint64_t cell = code_cell(static_cast<std::uint32_t>(at >> page_shift));
    auto* const page = reinterpret_cast<std::uint64_t*>(view.data() + at);
    std::fill_n(page, page_size / sizeof cell, cell);
  }
  filled_ = size;
  return {};
}

Result<ProgramMemory> ProgramMemory::map(const std::shared_ptr<PatternFile>& pattern,
                                         std::uint64_t size) {
  if (auto grown = pattern->grow(size); !grown) return tl::unexpected(grown.error());
  ProgramMemory memory;
  memory.pattern_ = pattern;
  if (size == 0) return memory;
  memory.mapping_ =
      Mapping(size + huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  if (!memory.mapping_) return tl::unexpected(failed("mmap of program memory"));
  const auto at = reinterpret_cast<std::uintptr_t>(memory.mapping_.data());
  memory.bytes_ = memory.mapping_.bytes().subspan((huge_page - at % huge_page) % huge_page, size);
  memory.remapped_ = true;
  if (auto mapped = memory.reset(); !mapped) return tl::unexpected(mapped.error());
  return memory;
}

Result<void> ProgramMemory::reset() {
  if (size() == 0) return {};
  if (remapped_) {
    void* const at = ::mmap(data(), size(), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, pattern_->fd(), 0);
    if (at == MAP_FAILED) return tl::unexpected(failed("mmap of program memory"));
    remapped_ = anonymous_ = false;
  } else {
    if (!protected_.empty() && ::mprotect(data(), size(), PROT_READ | PROT_WRITE) != 0) {
      return tl::unexpected(failed("mprotect of program memory"));
    }
    if (::madvise(data(), size(), MADV_DONTNEED) != 0) {
      return tl::unexpected(failed("madvise of program memory"));
    }
  }
  protected_.clear();
  return {};
}

bool ProgramMemory::store(Hva hva, std::uint64_t value, unsigned width) {
  if (!inside(size(), hva, width) || is_protected(hva)) return false;
  // One store, so that a vCPU never sees half of it where hva is aligned.
  if (width == 8 && hva % 8 == 0) {
    __atomic_store_n(reinterpret_cast<std::uint64_t*>(data() + hva), value, __ATOMIC_RELAXED);
  } else if (width == 4 && hva % 4 == 0) {
    __atomic_store_n(reinterpret_cast<std::uint32_t*>(data() + hva),
                     static_cast<std::uint32_t>(value), __ATOMIC_RELAXED);
  } else {
    std::memcpy(data() + hva, &value, width);
  }
  return true;
}

bool ProgramMemory::load(Hva hva, std::uint64_t& value, unsigned width) const {
  if (!inside(size(), hva, width)) return false;
  value = 0;
  std::memcpy(&value, data() + hva, width);
  return true;
}

}  // namespace lockstep::hw
