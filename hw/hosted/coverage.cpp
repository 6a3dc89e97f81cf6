// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/coverage.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "hw/hosted/boundary.h"
#include "hw/hosted/image.h"

namespace lockstep::hw::hosted {

Result<std::unique_ptr<Coverage>> Coverage::create(std::uint64_t begin, std::uint64_t bytes) {
  Mapping mapping(bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
  if (!mapping) {
    return tl::unexpected(EngineError{fmt::format("coverage: {}", std::strerror(errno))});
  }
  return std::unique_ptr<Coverage>(new Coverage(std::move(mapping), begin));
}

void Coverage::attach(const Image& image) {
  const auto where = image.address_of("hosted_coverage");
  if (!where || !image.contains(*where)) return;
  const hosted_coverage mine = {.hits = reinterpret_cast<unsigned char*>(mapping_.data()),
                                .begin = begin_,
                                .bytes = mapping_.size()};
  std::memcpy(reinterpret_cast<void*>(*where), &mine, sizeof mine);
}

bool Coverage::hit(std::uint64_t address) const {
  const std::uint64_t at = address - begin_;
  return at < mapping_.size() && mapping_.data()[at] != std::byte{0};
}

void Coverage::forget(std::uint64_t address) {
  const std::uint64_t at = address - begin_;
  if (at < mapping_.size()) mapping_.data()[at] = std::byte{0};
}

std::size_t Coverage::hits() const {
  return mapping_.size() - static_cast<std::size_t>(std::count(
                               mapping_.data(), mapping_.data() + mapping_.size(), std::byte{0}));
}

void Coverage::clear() { std::memset(mapping_.data(), 0, mapping_.size()); }

}  // namespace lockstep::hw::hosted
