// SPDX-License-Identifier: GPL-2.0-or-later
/// What went wrong between a kernel's source and its objects, in words for the
/// person who asked.
#pragma once

#include <string>
#include <tl/expected.hpp>

namespace lockstep::hw::kernels {

struct KernelError {
  enum class Cause {
    input,    ///< the version, tree, patch or option that was given
    machine,  ///< a missing program, no network, no space
  };

  /// Whole sentences without a final newline; may have several lines.
  std::string message;
  Cause cause = Cause::machine;
};

template <class Value>
using Result = tl::expected<Value, KernelError>;

/// The error as what a Result returns.
inline tl::unexpected<KernelError> machine_error(std::string message) {
  return tl::unexpected(KernelError{std::move(message), KernelError::Cause::machine});
}
inline tl::unexpected<KernelError> input_error(std::string message) {
  return tl::unexpected(KernelError{std::move(message), KernelError::Cause::input});
}

}  // namespace lockstep::hw::kernels
