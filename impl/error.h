// SPDX-License-Identifier: GPL-2.0-or-later
/// Errors of the MMU: an errno, as the ioctl would give it.
#pragma once

#include <cerrno>
#include <new>
#include <tl/expected.hpp>

namespace lockstep::impl {

enum class Error : int {
  no_entry = ENOENT,
  no_memory = ENOMEM,
  bad_address = EFAULT,
  exists = EEXIST,
  invalid = EINVAL,
  no_space = ENOSPC,
  no_device = ENXIO
};

constexpr int number(Error error) { return static_cast<int>(error); }

/// A result that no caller can drop unseen.
template <typename T>
class [[nodiscard]] Expected : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

/// Run what may allocate by means of the standard library: its exception ends here.
template <typename Function>
Expected<void> or_no_memory(Function&& function) {
  try {
    function();
    return {};
  } catch (const std::bad_alloc&) {
    return tl::unexpected<Error>(Error::no_memory);
  }
}

inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(error); }

}  // namespace lockstep::impl
