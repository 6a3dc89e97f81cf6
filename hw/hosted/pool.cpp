// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/pool.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "hw/hosted/boundary_schedule.h"

namespace lockstep::hw::hosted {
namespace {

constexpr std::uint64_t granule = 8;
/// Between objects, so that whoever leaves one meets none.
constexpr std::uint64_t gap = 16;

}  // namespace

Result<std::unique_ptr<Pool>> Pool::create(std::uint64_t bytes) {
  std::unique_ptr<Pool> pool(new Pool);
  pool->memory_ =
      Mapping(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  if (!pool->memory_) {
    return tl::unexpected(EngineError{std::string("memory of a kernel: ") + std::strerror(errno)});
  }
  pool->state_.resize(bytes / granule);
  return pool;
}

void* Pool::allocate(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t owner) {
  alignment = std::max(alignment, granule);
  const std::uint64_t begin = (used_ + gap + alignment - 1) & ~(alignment - 1);
  if (bytes > memory_.size() || begin > memory_.size() - bytes) return nullptr;
  const std::uint64_t whole = bytes / granule;
  auto* const states = state_.data() + begin / granule;
  std::fill_n(states, whole, std::uint8_t{granule});
  if (bytes % granule != 0) states[whole] = static_cast<std::uint8_t>(bytes % granule);
  objects_.push_back({.begin = begin,
                      .bytes = bytes,
                      .owner = owner,
                      .site = site_,
                      .serial = static_cast<std::uint32_t>(objects_.size())});
  site_ = 0;
  used_ = (begin + bytes + granule - 1) & ~(granule - 1);
  return memory_.data() + begin;
}

Pool::Object* Pool::find(std::uint64_t offset) {
  const auto after = std::ranges::upper_bound(objects_, offset, {}, &Object::begin);
  if (after == objects_.begin()) return nullptr;
  Object& found = *std::prev(after);
  return offset - found.begin < std::max<std::uint64_t>(found.bytes, 1) ? &found : nullptr;
}

std::optional<std::uint64_t> Pool::owner(void* object) const {
  const std::uint64_t offset = reinterpret_cast<std::uintptr_t>(object) - base();
  const Object* const found = const_cast<Pool*>(this)->find(offset);
  if (found == nullptr || found->begin != offset) return std::nullopt;
  if (state_[offset / granule] == HOSTED_STATE_FREED) return std::nullopt;
  return found->owner;
}

bool Pool::release(void* object) {
  const std::uint64_t offset = reinterpret_cast<std::uintptr_t>(object) - base();
  const Object* const found = find(offset);
  if (found == nullptr || found->begin != offset) return false;
  auto* const states = state_.data() + offset / granule;
  if (states[0] == HOSTED_STATE_FREED) return false;
  std::fill_n(states, (found->bytes + granule - 1) / granule, std::uint8_t{HOSTED_STATE_FREED});
  return true;
}

void Pool::clear() {
  std::fill_n(state_.begin(), (used_ + granule - 1) / granule, std::uint8_t{0});
  objects_.clear();
  used_ = 0;
  saved_ = {};
}

std::optional<Pool::Object> Pool::object_at(std::uint64_t address) const {
  const Object* const found = const_cast<Pool*>(this)->find(address - base());
  return found == nullptr ? std::nullopt : std::optional(*found);
}

void Pool::save() {
  saved_.memory.assign(memory_.data(), memory_.data() + used_);
  saved_.state.assign(state_.begin(),
                      state_.begin() + static_cast<std::ptrdiff_t>(used_ / granule));
  saved_.objects = objects_.size();
}

void Pool::restore() {
  std::ranges::copy(saved_.memory, memory_.data());
  std::ranges::copy(saved_.state, state_.begin());
  const std::uint64_t kept = saved_.memory.size();
  std::fill_n(state_.begin() + static_cast<std::ptrdiff_t>(kept / granule),
              (used_ - kept) / granule, std::uint8_t{0});
  objects_.resize(saved_.objects);
  used_ = kept;
}

}  // namespace lockstep::hw::hosted
