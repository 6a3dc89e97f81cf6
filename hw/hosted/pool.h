// SPDX-License-Identifier: GPL-2.0-or-later
/// Memory of a hosted kernel whose schedule is controlled: no address serves twice
/// within a run, each byte's state is known, and a saved state comes back fast.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "hw/kvm/fd.h"
#include "spec/engine.h"

namespace lockstep::hw::hosted {

class Pool {
 public:
  /// Of `bytes` bytes, a multiple of the page size.
  static Result<std::unique_ptr<Pool>> create(std::uint64_t bytes);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Null when the pool is full. `alignment` is a power of two.
  /// `owner` is the caller's word, kept with the object.
  void* allocate(std::uint64_t bytes, std::uint64_t alignment, std::uint64_t owner = 0);
  /// None if it is no live object's begin.
  std::optional<std::uint64_t> owner(void* object) const;
  /// False, and nothing done, if it is no live object's begin.
  bool release(void* object);
  /// Nothing was ever allocated.
  void clear();

  /// Keep what is there now; then make it so again.
  void save();
  void restore();

  std::uint64_t base() const { return reinterpret_cast<std::uintptr_t>(memory_.data()); }
  std::uint64_t bytes() const { return memory_.size(); }
  std::uint64_t used() const { return used_; }
  /// Addresses below this have one object each, in every run.
  std::uint64_t saved_end() const { return base() + saved_.memory.size(); }
  /// One byte for each 8: how many of them live, or HOSTED_STATE_FREED.
  const std::uint8_t* state() const { return state_.data(); }

  /// An object that an address lies in, live or freed.
  struct Object {
    std::uint64_t begin = 0;  ///< from base()
    std::uint64_t bytes = 0;
    std::uint64_t owner = 0;
    std::uint64_t site = 0;    ///< code that asked for it
    std::uint32_t serial = 0;  ///< counted from 0, in the order of allocation
  };
  std::optional<Object> object_at(std::uint64_t address) const;
  /// Code that asks for the next object.
  void set_site(std::uint64_t site) { site_ = site; }

 private:
  Pool() = default;
  Object* find(std::uint64_t offset);

  Mapping memory_;
  std::vector<std::uint8_t> state_;
  std::vector<Object> objects_;  ///< by address
  std::uint64_t used_ = 0;
  std::uint64_t site_ = 0;
  struct Saved {
    std::vector<std::byte> memory;
    std::vector<std::uint8_t> state;
    std::size_t objects = 0;
  };
  Saved saved_;
};

}  // namespace lockstep::hw::hosted
