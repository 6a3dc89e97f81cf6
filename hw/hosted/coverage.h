// SPDX-License-Identifier: GPL-2.0-or-later
/// Which basic blocks of an image ran, in any process: for images of the flavour
/// `coverage`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "hw/kvm/fd.h"
#include "spec/engine.h"

namespace lockstep::hw::hosted {

class Image;

/// Memory that a process shares with the children that it forks: what an engine
/// reached there is known even if the child dies.
class Coverage {
 public:
  /// For images whose code lies from `begin` on, for `bytes`.
  static Result<std::unique_ptr<Coverage>> create(std::uint64_t begin, std::uint64_t bytes);

  /// Count what this image runs from now on; nothing happens with other
  /// flavours. To be called again after Image::reset().
  void attach(const Image& image);

  /// Whether a block ran whose call to __sanitizer_cov_trace_pc() returns to this
  /// address.
  bool hit(std::uint64_t address) const;
  /// As if that block had not run.
  void forget(std::uint64_t address);
  /// Number of blocks that ran.
  std::size_t hits() const;
  void clear();

 private:
  Coverage(Mapping mapping, std::uint64_t begin) : mapping_(std::move(mapping)), begin_(begin) {}

  Mapping mapping_;
  std::uint64_t begin_;
};

}  // namespace lockstep::hw::hosted
