// SPDX-License-Identifier: GPL-2.0-or-later
/// What a kernel says on its console when one of its own checks fails.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::hw::qemu {

enum class SplatKind : std::uint8_t {
  warning,   ///< WARN_ON() and its kin
  bug,       ///< BUG_ON(), and what the mm and the list code call a BUG
  oops,      ///< an access or an instruction that trapped
  kasan,     ///< Documentation/dev-tools/kasan.rst
  lockdep,   ///< the order of locks, their balance, their context
  rcu,       ///< suspicious RCU usage
  sleeping,  ///< sleeping or scheduling while atomic
  stall,     ///< hung task, soft lockup, RCU stall
  leak,      ///< objects that remain in a slab cache at its end
  panic      ///< a panic that nothing else explains
};

/// The kind as a word: "WARNING", "KASAN", "lockdep" ...
std::string_view name(SplatKind kind);

struct Splat {
  SplatKind kind = SplatKind::warning;
  /// One line without addresses, numbers of CPUs or times: equal defects of one
  /// kernel have equal titles.
  std::string title;
  /// The function of KVM that stands first in the call trace; may be empty.
  std::string function;
  /// As the kernel printed it, without its time stamps; long ones are cut.
  std::string text;
};

/// Every splat of a log, in its order. What follows from a first one, as the panic
/// that ends an oops does, is a part of it.
std::vector<Splat> find_splats(std::string_view log);

/// Whether find_splats() would find any: looks at no more than it has to.
bool has_splat(std::string_view log);

/// A line of the console without its time stamp and carriage return.
std::string_view without_stamp(std::string_view line);

}  // namespace lockstep::hw::qemu
